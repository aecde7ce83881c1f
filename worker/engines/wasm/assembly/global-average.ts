// Global average pooling of images, and its gradient.

/**
 * Averages each channel over the pixels of an image.
 * @param source address of pixel (0, 0) of image 0
 * @param target receives a vector for each image
 */
export function globalAverage(
  source: usize,
  target: usize,
  targetBytes: i32,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const share = f32x4.splat(<f32>(1.0 / <f32>(rows * columns)));
  for (let image = first; image < first + count; image++) {
    for (let channel = 0; channel < depth; channel += 4) {
      let sum = f32x4.splat(0);
      for (let y = 0; y < rows; y++) {
        let at = source + image * imageBytes + y * rowBytes + 4 * channel;
        let rowSum = f32x4.splat(0);
        for (let x = 0; x < columns; x++) {
          rowSum = f32x4.add(rowSum, v128.load(at));
          at += 4 * depth;
        }
        sum = f32x4.add(sum, rowSum);
      }
      v128.store(target + image * targetBytes + 4 * channel, f32x4.mul(sum, share));
    }
  }
}

/**
 * Backward pass of globalAverage: spreads the gradient of each average evenly over the pixels of its image.
 * @param adds true to add to the existing values of the target, false to overwrite them
 */
export function globalAverageGradient(
  gradient: usize,
  gradientBytes: i32,
  target: usize,
  adds: bool,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const share = f32x4.splat(<f32>(1.0 / <f32>(rows * columns)));
  for (let image = first; image < first + count; image++) {
    for (let channel = 0; channel < depth; channel += 4) {
      const value = f32x4.mul(v128.load(gradient + image * gradientBytes + 4 * channel), share);
      for (let y = 0; y < rows; y++) {
        let at = target + image * imageBytes + y * rowBytes + 4 * channel;
        for (let x = 0; x < columns; x++) {
          v128.store(at, adds ? f32x4.add(v128.load(at), value) : value);
          at += 4 * depth;
        }
      }
    }
  }
}
