// A second, simple implementation of the reduction tree, for comparison with the real one.

/**
 * Returns the sum over slices `first` to `first + count - 1`: sums both halves recursively, then adds them with one
 * float32 addition per value.
 */
export function treeSum(slices: readonly Float32Array[], first: number, count: number): Float32Array<ArrayBuffer> {
  if (count === 1) return slices[first].slice();
  let left = 1;
  while (left * 2 < count) left *= 2;
  const leftSum = treeSum(slices, first, left);
  const rightSum = treeSum(slices, first + left, count - left);
  return leftSum.map((value, i) => value + rightSum[i]);
}

/** Returns the bits of float32 values, so that comparisons distinguish 0 from -0. */
export function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.slice().buffer);
}
