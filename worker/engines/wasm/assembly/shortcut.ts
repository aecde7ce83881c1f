// Identity shortcut of a downsampling block: takes every second row and column, and pads the channels with zeros. The
// padding on each side is half as wide as the input, so the number of channels doubles.
import { imageAt, rowBytesOf } from './tensor';

/**
 * target[y, x] = source[2y, 2x] in the middle channels. The other channels are never written and stay 0.
 * @param sourceSize height and width of the source: 2 × size, or one less
 * @param size height and width of the target
 */
export function copyNarrowed(
  source: usize,
  sourceSize: i32,
  target: usize,
  size: i32,
  channels: i32,
  first: i32,
  count: i32,
): void {
  const narrow = channels >> 1;
  for (let image = first; image < first + count; image++) {
    for (let y = 0; y < size; y++) {
      let from = imageAt(source, image, sourceSize, narrow) + 2 * y * rowBytesOf(sourceSize, narrow);
      let to = imageAt(target, image, size, channels) + y * rowBytesOf(size, channels) + 2 * narrow;
      for (let x = 0; x < size; x++) {
        for (let at = 0; at < 4 * narrow; at += 16) v128.store(to + at, v128.load(from + at));
        from += 8 * narrow;
        to += 8 * narrow;
      }
    }
  }
}

/**
 * Backward pass: target[2y, 2x] += gradient[y, x], from the middle channels of the gradient.
 * @param targetSize height and width of the target: 2 × size, or one less
 * @param size height and width of the gradient
 * @param channels number of channels of the gradient
 */
export function addWidened(
  gradient: usize,
  target: usize,
  targetSize: i32,
  size: i32,
  channels: i32,
  first: i32,
  count: i32,
): void {
  const narrow = channels >> 1;
  for (let image = first; image < first + count; image++) {
    for (let y = 0; y < size; y++) {
      let from = imageAt(gradient, image, size, channels) + y * rowBytesOf(size, channels) + 2 * narrow;
      let to = imageAt(target, image, targetSize, narrow) + 2 * y * rowBytesOf(targetSize, narrow);
      for (let x = 0; x < size; x++) {
        for (let at = 0; at < 4 * narrow; at += 16) {
          v128.store(to + at, f32x4.add(v128.load(to + at), v128.load(from + at)));
        }
        from += 8 * narrow;
        to += 8 * narrow;
      }
    }
  }
}
