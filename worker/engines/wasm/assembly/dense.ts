// Fully connected layers on vectors: products of matrices, with all images of a slice at once. A vector has a multiple
// of 4 values; those after the layer's inputs or units are 0. `first` and `count` select images; the caller divides the
// units or inputs, not the images, among the threads, so that each weight is read and written once. The kernel is
// [inputs][units], without padding. A panel of it at a time is copied to scratch memory: up to 128 rows of the sum by 32
// outputs, in strips of 8 outputs, as convolveRow reads them.
import { convolveRow4, convolveRow8, sumProducts4, sumProducts8 } from './unrolled';

const panelDepth: i32 = 128;
const panelOutputs: i32 = 32;
const stripBytes: i32 = 4 * 8 * panelDepth;
/** Offsets in scratch memory: the panel, a tap with offset 0, and the biases of a panel. */
const tapOffset: i32 = 4 * stripBytes;
const biasOffset: i32 = tapOffset + 64;

/**
 * target = source × kernel + bias, for `outputCount` units. Reads up to 3 vectors after the last one, and ignores them.
 * @param sourceBytes number of bytes from one vector to the next
 * @param bias 0, or the address of one value per unit
 * @param firstOutput a multiple of 8
 * @param outputCount a multiple of 8, unless the range ends at the last unit
 */
export function denseForward(
  source: usize,
  sourceBytes: i32,
  inputs: i32,
  kernel: usize,
  bias: usize,
  units: i32,
  target: usize,
  targetBytes: i32,
  firstOutput: i32,
  outputCount: i32,
  first: i32,
  count: i32,
  scratch: usize,
): void {
  const end = firstOutput + outputCount;
  for (let input = 0; input < inputs; input += panelDepth) {
    const depth = min(panelDepth, inputs - input);
    for (let output = firstOutput; output < end; output += panelOutputs) {
      const outputs = min(panelOutputs, end - output);
      for (let strip = 0; strip < outputs; strip += 8) {
        const from = kernel + 4 * (input * units + output + strip);
        packStrip(from, units, depth, min(8, outputs - strip), scratch + 4 * panelDepth * strip);
      }
      const ownBias = bias && input == 0 ? scratch + biasOffset : 0;
      if (ownBias) {
        memory.fill(ownBias, 0, 4 * panelOutputs);
        memory.copy(ownBias, bias + 4 * output, 4 * outputs);
      }
      const from = source + first * sourceBytes + 4 * input;
      const to = target + first * targetBytes + 4 * output;
      multiplyPanel(from, sourceBytes, depth, ownBias, input > 0, to, targetBytes, outputs, count, scratch);
    }
  }
}

/** Copies `width` values from each of `depth` rows of the kernel to [depth][8], or [depth][4] if width <= 4. */
function packStrip(from: usize, units: i32, depth: i32, width: i32, to: usize): void {
  const rowBytes = 4 * units;
  if (width == 8) {
    for (let row = 0; row < depth; row++, from += rowBytes, to += 32) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
    }
    memory.fill(to, 0, 32 * (-depth & 3));
  } else {
    const bytes = width > 4 ? 32 : 16;
    memory.fill(to, 0, bytes * ((depth + 3) & ~3));
    for (let row = 0; row < depth; row++, from += rowBytes, to += bytes) memory.copy(to, from, 4 * width);
  }
}

/** Multiplies `depth` values of each vector by the panel in scratch memory. */
function multiplyPanel(
  source: usize,
  sourceBytes: i32,
  depth: i32,
  bias: usize,
  adds: bool,
  target: usize,
  targetBytes: i32,
  outputs: i32,
  count: i32,
  scratch: usize,
): void {
  const paddedDepth = (depth + 3) & ~3;
  const tap = scratch + tapOffset;
  store<i32>(tap, 0);
  for (let strip = 0; strip < outputs; strip += 8) {
    const weights = scratch + 4 * panelDepth * strip;
    const ownBias = bias ? bias + 4 * strip : 0;
    const to = target + 4 * strip;
    if (outputs - strip > 4) {
      convolveRow8(source, sourceBytes, tap, 1, paddedDepth, weights, ownBias, adds, to, targetBytes, count);
    } else {
      convolveRow4(source, sourceBytes, tap, 1, paddedDepth, weights, ownBias, adds, to, targetBytes, count);
    }
  }
}

/**
 * target = gradient × transposed kernel, for `outputCount` inputs of the layer. Reads up to 3 vectors after the last
 * one, and ignores them.
 * @param firstOutput a multiple of 8
 * @param outputCount a multiple of 8, unless the range ends at the last input
 * @param adds true to add to the existing values of the target, false to overwrite them
 */
export function denseInputGradient(
  gradient: usize,
  gradientBytes: i32,
  units: i32,
  kernel: usize,
  target: usize,
  targetBytes: i32,
  adds: bool,
  firstOutput: i32,
  outputCount: i32,
  first: i32,
  count: i32,
  scratch: usize,
): void {
  const end = firstOutput + outputCount;
  for (let output = firstOutput; output < end; output += panelOutputs) {
    const outputs = min(panelOutputs, end - output);
    for (let unit = 0; unit < units; unit += panelDepth) {
      const depth = min(panelDepth, units - unit);
      for (let strip = 0; strip < outputs; strip += 8) {
        const from = kernel + 4 * ((output + strip) * units + unit);
        packTransposed(from, units, depth, min(8, outputs - strip), scratch + 4 * panelDepth * strip);
      }
      const from = gradient + first * gradientBytes + 4 * unit;
      const to = target + first * targetBytes + 4 * output;
      multiplyPanel(from, gradientBytes, depth, 0, adds || unit > 0, to, targetBytes, outputs, count, scratch);
    }
  }
}

/** Copies `depth` values from each of `width` rows of the kernel to [depth][8], or [depth][4] if width <= 4. */
function packTransposed(from: usize, units: i32, depth: i32, width: i32, to: usize): void {
  const rowBytes = 4 * units;
  const stepBytes = width > 4 ? 32 : 16;
  let done = 0;
  if (width % 4 == 0) {
    done = depth & ~3;
    for (let column = 0; column < width; column += 4) {
      transpose(from + column * rowBytes, rowBytes, done, to + 4 * column, stepBytes);
    }
  }
  memory.fill(to + done * stepBytes, 0, (((depth + 3) & ~3) - done) * stepBytes);
  for (let row = 0; row < width; row++) {
    for (let k = done; k < depth; k++) {
      store<f32>(to + k * stepBytes + 4 * row, load<f32>(from + row * rowBytes + 4 * k));
    }
  }
}

/** Transposes 4 rows of `length` values, 4 × 4 values at a time. */
function transpose(from: usize, rowBytes: i32, length: i32, to: usize, stepBytes: i32): void {
  for (let k = 0; k < length; k += 4, from += 16) {
    const row0 = v128.load(from);
    const row1 = v128.load(from + rowBytes);
    const row2 = v128.load(from + 2 * rowBytes);
    const row3 = v128.load(from + 3 * rowBytes);
    const low01 = v128.shuffle<f32>(row0, row1, 0, 4, 1, 5);
    const low23 = v128.shuffle<f32>(row2, row3, 0, 4, 1, 5);
    const high01 = v128.shuffle<f32>(row0, row1, 2, 6, 3, 7);
    const high23 = v128.shuffle<f32>(row2, row3, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<f32>(low01, low23, 0, 1, 4, 5));
    v128.store(to + stepBytes, v128.shuffle<f32>(low01, low23, 2, 3, 6, 7));
    v128.store(to + 2 * stepBytes, v128.shuffle<f32>(high01, high23, 0, 1, 4, 5));
    v128.store(to + 3 * stepBytes, v128.shuffle<f32>(high01, high23, 2, 3, 6, 7));
    to += 4 * stepBytes;
  }
}

/** Number of units whose gradients stay in the cache while the kernel goes through the inputs. */
const gradientUnits: i32 = 64;

/**
 * Computes the rows of the kernel's gradient for `inputCount` inputs: target = transposed source × gradient, summed over
 * the images in order.
 * @param target address of the whole gradient, [inputs][units]
 * @param firstInput a multiple of 4
 */
export function denseKernelGradient(
  source: usize,
  sourceBytes: i32,
  gradient: usize,
  gradientBytes: i32,
  units: i32,
  target: usize,
  firstInput: i32,
  inputCount: i32,
  first: i32,
  count: i32,
  scratch: usize,
): void {
  const endInput = firstInput + inputCount;
  for (let block = 0; block < units; block += gradientUnits) {
    const endUnit = min(block + gradientUnits, units);
    for (let input = firstInput; input < endInput; input += 4) {
      const from = source + first * sourceBytes + 4 * input;
      const rows = min(4, endInput - input);
      for (let unit = block; unit < endUnit; unit += 8) {
        const other = gradient + first * gradientBytes + 4 * unit;
        const to = target + 4 * (input * units + unit);
        const width = min(8, endUnit - unit);
        if (width > 4) {
          sumProducts8(from, sourceBytes, 0, other, gradientBytes, 0, 1, count, scratch, false);
          copyRows(scratch, 32, to, 4 * units, rows, width);
        } else {
          sumProducts4(from, sourceBytes, 0, other, gradientBytes, 0, 1, count, scratch, false);
          copyRows(scratch, 16, to, 4 * units, rows, width);
        }
      }
    }
  }
}

function copyRows(from: usize, fromBytes: i32, to: usize, toBytes: i32, rows: i32, width: i32): void {
  for (let row = 0; row < rows; row++, from += fromBytes, to += toBytes) {
    if (width == 8) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
    } else {
      for (let at = 0; at < 4 * width; at += 4) store<f32>(to + at, load<f32>(from + at));
    }
  }
}

/** target = the sum of the gradients over the images, in order. */
export function denseBiasGradient(
  gradient: usize,
  gradientBytes: i32,
  units: i32,
  target: usize,
  first: i32,
  count: i32,
): void {
  memory.fill(target, 0, 4 * units);
  for (let image = first; image < first + count; image++) {
    const from = gradient + image * gradientBytes;
    for (let at = 0; at < 4 * units; at += 4) store<f32>(target + at, load<f32>(target + at) + load<f32>(from + at));
  }
}
