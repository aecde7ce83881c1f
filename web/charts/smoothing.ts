// Smooths noisy curves. Pure.

/**
 * Exponential moving average as in TensorBoard: divided by the sum of the weights, so that it does not start at 0.
 * @param weight how much of the average is kept at each value: from 0 (no smoothing) to below 1
 */
export function smoothed(values: readonly number[], weight: number): number[] {
  if (weight === 0) return [...values];
  let average = 0;
  let weights = 0;
  return values.map((value) => {
    average = weight * average + (1 - weight) * value;
    weights = weight * weights + (1 - weight);
    return average / weights;
  });
}
