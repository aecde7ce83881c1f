// Activations, forward and backward. Their numbers are the positions in `activations` of shared/network/graph.ts.
import {
  geluGradients,
  geluValues,
  relu6Gradients,
  relu6Values,
  reluGradients,
  reluValues,
  sigmoidGradients,
  sigmoidValues,
  siluGradients,
  siluValues,
} from './unrolled';

const relu: i32 = 0;
const relu6: i32 = 1;
const gelu: i32 = 2;
const silu: i32 = 3;

/**
 * target = f(source). The padding channels, from `channels` to `depth`, become 0; sigmoid(0) is not.
 * @param activation number of the function f
 */
export function activate(
  activation: i32,
  source: usize,
  target: usize,
  channels: i32,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const bytes = 4 * columns * depth;
  for (let image = first; image < first + count; image++) {
    for (let row = 0; row < rows; row++) {
      const at = image * imageBytes + row * rowBytes;
      if (activation == relu) reluValues(source + at, target + at, bytes);
      else if (activation == relu6) relu6Values(source + at, target + at, bytes);
      else if (activation == gelu) geluValues(source + at, target + at, bytes);
      else if (activation == silu) siluValues(source + at, target + at, bytes);
      else {
        sigmoidValues(source + at, target + at, bytes);
        if (channels < depth) clearPadding(target + at, columns, channels, depth);
      }
    }
  }
}

function clearPadding(row: usize, columns: i32, channels: i32, depth: i32): void {
  for (let x = 0; x < columns; x++) memory.fill(row + 4 * (x * depth + channels), 0, 4 * (depth - channels));
}

/**
 * target = gradient × f'(source), where source is the input of the activation. For relu and relu6, source may be the
 * output as well. The gradient's padding channels are 0, so those of the target become 0.
 * @param adds true to add to the existing values of the target, false to overwrite them
 */
export function activateGradient(
  activation: i32,
  gradient: usize,
  source: usize,
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
  const bytes = 4 * columns * depth;
  for (let image = first; image < first + count; image++) {
    for (let row = 0; row < rows; row++) {
      const at = image * imageBytes + row * rowBytes;
      if (activation == relu) reluGradients(gradient + at, source + at, target + at, adds, bytes);
      else if (activation == relu6) relu6Gradients(gradient + at, source + at, target + at, adds, bytes);
      else if (activation == gelu) geluGradients(gradient + at, source + at, target + at, adds, bytes);
      else if (activation == silu) siluGradients(gradient + at, source + at, target + at, adds, bytes);
      else sigmoidGradients(gradient + at, source + at, target + at, adds, bytes);
    }
  }
}
