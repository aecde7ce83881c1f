// Summary statistics for paired measurements, in which one turn directly follows the other: medians of ratios or
// differences, with quartiles and confidence intervals. Pure.

export interface Summary {
  median: number;
  /** Lower and upper quartiles: a quarter of the values are below the first, a quarter above the second. */
  quartiles: [low: number, high: number];
  /** 95% confidence interval for the median, valid for any distribution of the values; null if there are too few. */
  interval: [low: number, high: number] | null;
}

export function summaryOf(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = lowerRankOfInterval(sorted.length);
  return {
    median: quantile(sorted, 0.5),
    quartiles: [quantile(sorted, 0.25), quantile(sorted, 0.75)],
    interval: rank === 0 ? null : [sorted[rank - 1], sorted[sorted.length - rank]],
  };
}

/** Returns the quantile at a fraction from 0 to 1, interpolating linearly between sorted values. */
function quantile(sorted: readonly number[], fraction: number): number {
  const position = fraction * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
}

/**
 * Returns the highest one-based rank whose value is above the true median with a probability of at most 1/40, or 0 if
 * there is no such rank. Each value is below the true median with probability 1/2.
 */
function lowerRankOfInterval(count: number): number {
  let probability = 2 ** -count;
  let below = 0;
  for (let rank = 0; ; rank++) {
    below += probability;
    if (below > 0.025) return rank;
    probability *= (count - rank) / (rank + 1);
  }
}
