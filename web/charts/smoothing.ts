// Smooths noisy curves. Pure.

/**
 * Returns the exponential moving average as in TensorBoard: divided by the sum of the weights, so that it does not
 * start near 0.
 * @param weight fraction of the previous average that is kept at each value: at least 0 (no smoothing), less than 1
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
