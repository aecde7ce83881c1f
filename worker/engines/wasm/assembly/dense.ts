// Dense layers, forward and backward, a block of images at a time. Vectors have padding up to a multiple of 4 values, which stays 0.
import {
  denseGradientTile4x4,
  denseGradientTile4x8,
  denseTile1x4,
  denseTile1x8,
  denseTile4x4,
  denseTile4x8,
} from './unrolled';

/**
 * target = bias + Σ over inputs of source[input] × kernel[input], in the order of the inputs. May read up to 12 bytes
 * after the kernel and the bias.
 * @param sourceBytes number of bytes from one image's vector to the next
 * @param kernel [inputs][rowValues], of which `outputs` are used
 * @param bias 0, or the address of one value per output
 * @param adds true to add to the existing values of the target, false to overwrite them
 */
export function multiplyVectors(
  source: usize,
  sourceBytes: i32,
  inputs: i32,
  kernel: usize,
  rowValues: i32,
  bias: usize,
  target: usize,
  targetBytes: i32,
  outputs: i32,
  adds: bool,
  first: i32,
  count: i32,
): void {
  const rowBytes = 4 * rowValues;
  for (let output = 0; output < outputs;) {
    const isWide = output + 4 < outputs;
    const isLast = output + (isWide ? 8 : 4) >= outputs;
    const lanes = isLast ? ((outputs - 1) & 3) + 1 : 4;
    const weights = kernel + 4 * output;
    const biasAt = bias ? bias + 4 * output : 0;
    let image = 0;
    for (; image + 4 <= count; image += 4) {
      const from = source + (first + image) * sourceBytes;
      const to = target + (first + image) * targetBytes + 4 * output;
      if (isWide) denseTile4x8(from, sourceBytes, inputs, weights, rowBytes, biasAt, to, targetBytes, adds, lanes);
      else denseTile4x4(from, sourceBytes, inputs, weights, rowBytes, biasAt, to, targetBytes, adds, lanes);
    }
    for (; image < count; image++) {
      const from = source + (first + image) * sourceBytes;
      const to = target + (first + image) * targetBytes + 4 * output;
      if (isWide) denseTile1x8(from, sourceBytes, inputs, weights, rowBytes, biasAt, to, targetBytes, adds, lanes);
      else denseTile1x4(from, sourceBytes, inputs, weights, rowBytes, biasAt, to, targetBytes, adds, lanes);
    }
    output += isWide ? 8 : 4;
  }
}

/**
 * Gradient of the kernel: target[input][output] = Σ over images of source[input] × gradient[output], in the order of the
 * images, for some of the inputs. May read up to 12 bytes after a source vector.
 * @param firstInput index of the first input
 * @param inputCount number of inputs
 * @param scratch 128 bytes
 */
export function vectorProducts(
  source: usize,
  sourceBytes: i32,
  firstInput: i32,
  inputCount: i32,
  gradient: usize,
  gradientBytes: i32,
  outputs: i32,
  images: i32,
  target: usize,
  scratch: usize,
): void {
  const end = firstInput + inputCount;
  for (let output = 0; output < outputs;) {
    const isWide = output + 4 < outputs;
    const width = isWide ? 8 : 4;
    const bytes = 4 * min(width, outputs - output);
    for (let input = firstInput; input < end; input += 4) {
      const from = source + 4 * input;
      const other = gradient + 4 * output;
      if (isWide) denseGradientTile4x8(from, sourceBytes, other, gradientBytes, images, scratch);
      else denseGradientTile4x4(from, sourceBytes, other, gradientBytes, images, scratch);
      for (let row = 0; row < min(4, end - input); row++) {
        memory.copy(target + 4 * ((input + row) * outputs + output), scratch + 4 * width * row, bytes);
      }
    }
    output += width;
  }
}

/** Gradient of the bias: target = Σ over images of gradient, in the order of the images. */
export function sumVectors(gradient: usize, gradientBytes: i32, outputs: i32, images: i32, target: usize): void {
  memory.fill(target, 0, 4 * outputs);
  for (let image = 0; image < images; image++) {
    for (let at = 0; at < 4 * outputs; at += 4) {
      store<f32>(target + at, load<f32>(target + at) + load<f32>(gradient + image * gradientBytes + at));
    }
  }
}

/** Transposes a kernel: from [inputs][outputs] to [outputs][rowValues]. The rest of each row becomes 0. */
export function transposeKernel(source: usize, inputs: i32, outputs: i32, target: usize, rowValues: i32): void {
  memory.fill(target, 0, 4 * outputs * rowValues);
  for (let input = 0; input < inputs; input++) {
    for (let output = 0; output < outputs; output++, source += 4) {
      store<f32>(target + 4 * (output * rowValues + input), load<f32>(source));
    }
  }
}
