// Smoothing of noisy curves. Pure; it runs in Node and in browsers.

/**
 * The exponential moving average of the values so far, as TensorBoard has it: divided by the weights' sum, so that it does
 * not begin at 0.
 * @param weight how much of the average stays at each value, from 0 (nothing is smoothed) to below 1
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
