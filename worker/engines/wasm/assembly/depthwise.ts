// Depthwise convolutions, tap by tap, in which each channel has filters of its own. See direct-convolution.ts for taps
// and strides. The weights are [tap][channel], with padding channels of 0.
import { depthwiseRow4, depthwiseRow8, sumTaps4, sumTaps8 } from './unrolled';

/**
 * target[pixel] = bias + Σ over taps of weights[tap] × source[pixel + tap], channel by channel. Also computes the input
 * gradient, like convolve.
 * @param source address that a tap with offset 0 reads for pixel (0, 0) of image 0
 * @param bias 0, or the address of one value per channel, 0 for padding channels
 * @param adds true to add to the existing values of the target, false to overwrite them
 */
export function convolveDepthwise(
  source: usize,
  sourceImageBytes: i32,
  sourceRowBytes: i32,
  sourcePixelBytes: i32,
  depth: i32,
  taps: usize,
  tapCount: i32,
  weights: usize,
  bias: usize,
  adds: bool,
  target: usize,
  targetImageBytes: i32,
  targetRowBytes: i32,
  targetPixelBytes: i32,
  rows: i32,
  pixels: i32,
  first: i32,
  count: i32,
): void {
  const tapBytes = 4 * depth;
  for (let image = first; image < first + count; image++) {
    for (let row = 0; row < rows; row++) {
      let from = source + image * sourceImageBytes + row * sourceRowBytes;
      let to = target + image * targetImageBytes + row * targetRowBytes;
      let weight = weights;
      let biasAt = bias;
      let channel = 0;
      for (; channel + 8 <= depth; channel += 8) {
        depthwiseRow8(
          from,
          sourcePixelBytes,
          taps,
          tapCount,
          weight,
          tapBytes,
          biasAt,
          adds,
          to,
          targetPixelBytes,
          pixels,
        );
        from += 32;
        to += 32;
        weight += 32;
        if (bias) biasAt += 32;
      }
      if (channel < depth) {
        depthwiseRow4(
          from,
          sourcePixelBytes,
          taps,
          tapCount,
          weight,
          tapBytes,
          biasAt,
          adds,
          to,
          targetPixelBytes,
          pixels,
        );
      }
    }
  }
}

/**
 * sums[tap] = Σ over images and pixels of source[pixel + tap] × gradient[pixel], channel by channel.
 * @param source address that a tap with offset 0 reads for pixel (0, 0) of image 0
 * @param gradient address of pixel (0, 0) of image 0
 * @param continues true to add to the existing sums, false to overwrite them
 */
export function depthwiseFilterGradient(
  source: usize,
  sourceImageBytes: i32,
  sourceRowBytes: i32,
  sourcePixelBytes: i32,
  depth: i32,
  taps: usize,
  tapCount: i32,
  gradient: usize,
  gradientImageBytes: i32,
  gradientRowBytes: i32,
  gradientPixelBytes: i32,
  rows: i32,
  pixels: i32,
  first: i32,
  count: i32,
  sums: usize,
  continues: bool,
): void {
  const tapBytes = 4 * depth;
  if (!continues) memory.fill(sums, 0, tapCount * tapBytes);
  for (let image = first; image < first + count; image++) {
    let from = source + image * sourceImageBytes;
    let other = gradient + image * gradientImageBytes;
    let to = sums;
    let channel = 0;
    for (; channel + 8 <= depth; channel += 8) {
      sumTaps8(
        from,
        sourcePixelBytes,
        sourceRowBytes,
        taps,
        tapCount,
        other,
        gradientPixelBytes,
        gradientRowBytes,
        rows,
        pixels,
        to,
        tapBytes,
      );
      from += 32;
      other += 32;
      to += 32;
    }
    if (channel < depth) {
      sumTaps4(
        from,
        sourcePixelBytes,
        sourceRowBytes,
        taps,
        tapCount,
        other,
        gradientPixelBytes,
        gradientRowBytes,
        rows,
        pixels,
        to,
        tapBytes,
      );
    }
  }
}
