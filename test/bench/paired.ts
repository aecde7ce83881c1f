// What many pairs of measurements say, each of two turns beside each other in time: their ratios, and how sure that is. Pure.

export interface Summary {
  median: number;
  /** A quarter of the values lies below the one, a quarter above the other. */
  quartiles: [low: number, high: number];
  /** Where the true median lies with 95% certainty, whatever the values' distribution; null where there are too few. */
  interval: [low: number, high: number] | null;
}

export function summaryOf(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = lowestRankWithin(sorted.length);
  return {
    median: quantile(sorted, 0.5),
    quartiles: [quantile(sorted, 0.25), quantile(sorted, 0.75)],
    interval: rank === 0 ? null : [sorted[rank - 1], sorted[sorted.length - rank]],
  };
}

/** Between two values, their weighted mean. */
function quantile(sorted: readonly number[], part: number): number {
  const place = part * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

/**
 * Each value lies below the true median with probability 1/2. The rank, counted from 1, of the value that at most one time
 * in 40 does not; 0 where there is none.
 */
function lowestRankWithin(count: number): number {
  let probability = 2 ** -count;
  let below = 0;
  for (let rank = 0; ; rank++) {
    below += probability;
    if (below > 0.025) return rank;
    probability *= (count - rank) / (rank + 1);
  }
}
