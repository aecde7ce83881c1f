// Direct convolutions, tap by tap, for the stem, layers with stride 2, projections, and layers that are too wide for
// Winograd's algorithm. A tap is one position in the filter; its offset is relative to the current pixel.
import { convolveRow4, convolveRow8, sumProducts4, sumProducts8 } from './unrolled';

/**
 * target[pixel] = bias + Σ over taps of weights[tap] × source[pixel + tap], where source[…] is the vector of all source
 * channels. Source and target may be strided: a forward pass with stride 2 reads every second pixel, and its input
 * gradient writes every second pixel, in four calls, one for each phase.
 * @param source address that a tap with offset 0 reads for pixel (0, 0) of image 0
 * @param taps byte offsets of the taps: tapCount values (i32)
 * @param depth number of source channels
 * @param bias 0, or the address of one value per output channel
 * @param adds true to add to the existing values of the target, false to overwrite them
 * @param rows number of rows to compute
 * @param pixels number of pixels in each row
 */
export function convolve(
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
  outputs: i32,
  rows: i32,
  pixels: i32,
  first: i32,
  count: i32,
): void {
  const isWide = 4 * tapCount * depth * outputs > cachedWeightBytes;
  // In images with few pixels, take the same pixel of four images at a time, because a row may have less than four.
  const acrossImages = (pixels & 3) != 0 && rows * pixels <= fewPixels ? count & ~3 : 0;
  const end = first + count;
  for (let output = 0; output < outputs; output += isWide ? 8 : outputs) {
    const blockEnd = isWide ? min(output + 8, outputs) : outputs;
    for (let row = 0; row < rows && acrossImages > 0; row++) {
      for (let pixel = 0; pixel < pixels; pixel++) {
        convolveOutputs(
          source + first * sourceImageBytes + row * sourceRowBytes + pixel * sourcePixelBytes,
          sourceImageBytes,
          depth,
          taps,
          tapCount,
          weights,
          bias,
          adds,
          target + first * targetImageBytes + row * targetRowBytes + pixel * targetPixelBytes,
          targetImageBytes,
          output,
          blockEnd,
          acrossImages,
        );
      }
    }
    for (let image = first + acrossImages; image < end; image++) {
      for (let row = 0; row < rows; row++) {
        convolveOutputs(
          source + image * sourceImageBytes + row * sourceRowBytes,
          sourcePixelBytes,
          depth,
          taps,
          tapCount,
          weights,
          bias,
          adds,
          target + image * targetImageBytes + row * targetRowBytes,
          targetPixelBytes,
          output,
          blockEnd,
          pixels,
        );
      }
    }
  }
}

/** Size of weights above which convolve computes 8 output channels at a time, whose weights fit into the cache. */
const cachedWeightBytes: i32 = 262144;
/** Maximum number of pixels of images that convolve processes pixel by pixel. */
const fewPixels: i32 = 36;

/** Computes some output channels of a row of pixels. @param output a multiple of 8 */
function convolveOutputs(
  source: usize,
  sourcePixelBytes: i32,
  depth: i32,
  taps: usize,
  tapCount: i32,
  weights: usize,
  bias: usize,
  adds: bool,
  target: usize,
  targetPixelBytes: i32,
  output: i32,
  end: i32,
  pixels: i32,
): void {
  let weight = weights + 4 * output * depth * tapCount;
  for (; output + 8 <= end; output += 8) {
    const biasAt = bias ? bias + 4 * output : 0;
    const at = target + 4 * output;
    convolveRow8(source, sourcePixelBytes, taps, tapCount, depth, weight, biasAt, adds, at, targetPixelBytes, pixels);
    weight += 32 * depth * tapCount;
  }
  if (output < end) {
    const biasAt = bias ? bias + 4 * output : 0;
    const at = target + 4 * output;
    convolveRow4(source, sourcePixelBytes, taps, tapCount, depth, weight, biasAt, adds, at, targetPixelBytes, pixels);
  }
}

/**
 * sums[tap] = Σ over images and pixels of source[pixel + tap] × gradient[pixel], for every pair of a source channel and
 * a gradient channel, in blocks of 4 source channels × 8 gradient channels (see filterSumAt).
 * @param source address that a tap with offset 0 reads for pixel (0, 0) of image 0
 * @param gradient address of pixel (0, 0) of image 0
 * @param continues true to add to the existing sums, false to overwrite them
 */
export function filterGradient(
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
  outputs: i32,
  rows: i32,
  pixels: i32,
  first: i32,
  count: i32,
  sums: usize,
  continues: bool,
): void {
  const step = max(1, pixelsAtOnce / (rows * pixels));
  for (let image = first; image < first + count; image += step) {
    const images = min(step, first + count - image);
    for (let tap = 0; tap < tapCount; tap++) {
      sumAllProducts(
        source + image * sourceImageBytes + load<i32>(taps + 4 * tap),
        sourcePixelBytes,
        sourceRowBytes,
        sourceImageBytes,
        depth,
        gradient + image * gradientImageBytes,
        gradientPixelBytes,
        gradientRowBytes,
        gradientImageBytes,
        outputs,
        images,
        rows,
        pixels,
        sums + tap * depth * outputs * 4,
        continues || image > first,
      );
    }
  }
}

/**
 * Number of pixels over which filterGradient sums products before it goes on to other channels: as many as the cache
 * holds, because every block of channels reads them again.
 */
const pixelsAtOnce: i32 = 64;

/** Sums the products of all source and gradient channels over rows of pixels of some images, block by block. */
export function sumAllProducts(
  source: usize,
  sourcePixelBytes: i32,
  sourceRowBytes: i32,
  sourceImageBytes: i32,
  depth: i32,
  gradient: usize,
  pixelBytes: i32,
  rowBytes: i32,
  imageBytes: i32,
  outputs: i32,
  images: i32,
  rows: i32,
  pixels: i32,
  sums: usize,
  adds: bool,
): void {
  const wideOutputs = outputs & ~7;
  for (let input = 0; input < depth; input += 4) {
    let block = gradient;
    for (let output = 0; output < wideOutputs; output += 8) {
      sumProducts8(
        source,
        sourcePixelBytes,
        sourceRowBytes,
        sourceImageBytes,
        block,
        pixelBytes,
        rowBytes,
        imageBytes,
        images,
        rows,
        pixels,
        sums,
        adds,
      );
      block += 32;
      sums += 128;
    }
    if (wideOutputs < outputs) {
      sumProducts4(
        source,
        sourcePixelBytes,
        sourceRowBytes,
        sourceImageBytes,
        block,
        pixelBytes,
        rowBytes,
        imageBytes,
        images,
        rows,
        pixels,
        sums,
        adds,
      );
      sums += 64;
    }
    source += 16;
  }
}

/**
 * Returns the byte offset of the sum for source channel `input` and gradient channel `output`.
 * @param output a multiple of 4
 */
export function filterSumAt(input: i32, output: i32, outputs: i32): i32 {
  const block = output & ~7;
  const width = min(8, outputs - block);
  return 4 * ((input & ~3) * outputs + 4 * block + (input & 3) * width + output - block);
}

/**
 * Adds up the partial sums in order and stores the filter gradient in target, [tap][input][output].
 * @param partialBytes number of bytes from one partial sum to the next
 * @param depth number of source channels in the sums; the filter has only the first `inputs` of them
 */
export function filterGradientEnd(
  partialSums: usize,
  partialCount: i32,
  partialBytes: i32,
  tapCount: i32,
  depth: i32,
  inputs: i32,
  outputs: i32,
  target: usize,
): void {
  const tapBytes = depth * outputs * 4;
  for (let tap = 0; tap < tapCount; tap++) {
    for (let input = 0; input < inputs; input++) {
      for (let output = 0; output < outputs; output += 4) {
        let from = partialSums + tap * tapBytes + filterSumAt(input, output, outputs);
        let sum = v128.load(from);
        for (let partial = 1; partial < partialCount; partial++) {
          from += partialBytes;
          sum = f32x4.add(sum, v128.load(from));
        }
        v128.store(target, sum);
        target += 16;
      }
    }
  }
}

/**
 * Computes the bias gradient of a convolution that is not followed by a batch norm: the gradient with respect to the
 * convolution's output, summed over images and pixels.
 * @param gradient address of pixel (0, 0) of image 0
 * @param sums receives one value per channel, for channels firstChannel to firstChannel + channelCount - 1
 * @param firstChannel a multiple of 4
 */
export function biasGradient(
  gradient: usize,
  sums: usize,
  firstChannel: i32,
  channelCount: i32,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  for (let channel = 0; channel < channelCount; channel += 4) {
    let sum = f32x4.splat(0);
    for (let image = first; image < first + count; image++) {
      for (let row = 0; row < rows; row++) {
        let at = gradient + image * imageBytes + row * rowBytes + 4 * (firstChannel + channel);
        let rowSum = f32x4.splat(0);
        for (let x = 0; x < columns; x++) {
          rowSum = f32x4.add(rowSum, v128.load(at));
          at += 4 * depth;
        }
        sum = f32x4.add(sum, rowSum);
      }
    }
    const to = sums + 4 * (firstChannel + channel);
    if (channelCount - channel >= 4) v128.store(to, sum);
    else {
      for (let lane = 0; lane < channelCount - channel; lane++) {
        store<f32>(to + 4 * lane, f32x4.extract_lane(sum, 0));
        sum = v128.shuffle<f32>(sum, sum, 1, 2, 3, 0);
      }
    }
  }
}
