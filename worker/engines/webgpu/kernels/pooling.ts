// Pooling, forward and backward, and sums over the pixels of each image.
import type { PoolLayer } from '../../../../shared/network/layers.js';
import { sizeOf } from '../../../../shared/network/shapes.js';
import { Extent, type Resource } from '../memory/resources.js';
import type { Value } from '../values/value.js';
import { Kernel } from '../wgsl/kernel.js';
import { floatOf } from '../wgsl/arithmetic.js';

const threads = 64;

export type Windows = Pick<PoolLayer, 'poolSize' | 'strides' | 'padding' | 'inputShapes' | 'shape'>;

function elementKernel(elements: number): Kernel {
  return new Kernel({ groups: new Extent(elements, { per: threads }), threads });
}

/** Returns the first statements of a kernel with one thread for each element of these images. */
function elementOf([height, width, channels]: readonly number[]): string {
  return `  let i = group * ${threads}u + lane;
  if (i >= params.images * ${height * width * channels}u) { return; }
  let c = i % ${channels}u;
  let pixel = i / ${channels}u;
  let image = pixel / ${height * width}u;
  let y = pixel / ${width}u % ${height}u;
  let x = pixel % ${width}u;`;
}

/** Returns statements that find where the window of output pixel (y, x) begins and ends. */
function windowOf({ poolSize, strides, padding, inputShapes }: Windows): string {
  const [height, width] = inputShapes[0];
  const edge = (axis: 0 | 1, name: string, before: number, extent: number) =>
    `  let ${name}Start = i32(${name} * ${strides[axis]}u) - ${before};
  let ${name}First = u32(max(${name}Start, 0));
  let ${name}End = u32(min(${name}Start + ${poolSize[axis]}, ${extent}));`;
  return `${edge(0, 'y', padding.top, height)}\n${edge(1, 'x', padding.left, width)}`;
}

/**
 * Returns a kernel that pools.
 * @param positions receives, for a maximum, the index of its pixel in the image; null for an average
 */
export function poolKernel(windows: Windows, input: Value, output: Resource, positions: Resource | null): Kernel {
  const [height, width, channels] = windows.inputShapes[0];
  const kernel = elementKernel(sizeOf(windows.shape));
  const load = input.load(kernel, 1);
  const visit =
    positions === null
      ? `      rowSum = rowSum + value;`
      : `      if (position == ${height * width}u || value > result) {
        result = value;
        position = py * ${width}u + px;
      }`;
  kernel.main(`${elementOf(windows.shape)}
${windowOf(windows)}
  var result = 0.0;
  ${positions === null ? '' : `var position = ${height * width}u;`}
  for (var py = yFirst; py < yEnd; py++) {
    ${positions === null ? 'var rowSum = 0.0;' : ''}
    for (var px = xFirst; px < xEnd; px++) {
      let value = ${load}(((image * ${height}u + py) * ${width}u + px) * ${channels}u + c, c);
${visit}
    }
    ${positions === null ? 'result = result + rowSum;' : ''}
  }
  ${
    positions === null
      ? 'result = result * reciprocal(f32((yEnd - yFirst) * (xEnd - xFirst)));'
      : `${kernel.write(positions, 'u32')}[i] = position;`
  }
  ${kernel.write(output, 'f32')}[i] = result;`);
  return kernel;
}

/** Returns a kernel that computes the gradient with respect to the input of poolKernel. */
export function poolGradientKernel(
  windows: Windows,
  gradient: Value,
  positions: Resource | null,
  output: Resource,
): Kernel {
  const { poolSize, strides, padding, inputShapes, shape } = windows;
  const [height, width, channels] = inputShapes[0];
  const [outHeight, outWidth] = shape;
  const kernel = elementKernel(sizeOf(inputShapes[0]));
  const load = gradient.load(kernel, 1);
  const size = (axis: 0 | 1, name: string, before: number, extent: number) =>
    `(min(${name} * ${strides[axis]} - ${before} + ${poolSize[axis]}, ${extent}) - max(${name} * ${strides[axis]} - ${before}, 0))`;
  const from = `((image * ${outHeight}u + u32(oy)) * ${outWidth}u + u32(ox)) * ${channels}u + c`;
  const add =
    positions === null
      ? `      sum = sum + ${load}(at, c) * reciprocal(f32(${size(0, 'oy', padding.top, height)} * ${size(1, 'ox', padding.left, width)}));`
      : `      if (${kernel.read(positions, 'u32')}[at] == y * ${width}u + x) { sum = sum + ${load}(at, c); }`;
  kernel.main(`${elementOf(inputShapes[0])}
  var sum = 0.0;
  let yLast = (i32(y) + ${padding.top}) / ${strides[0]};
  let xLast = (i32(x) + ${padding.left}) / ${strides[1]};
  for (var oy = yLast; oy >= 0 && oy * ${strides[0]} + ${poolSize[0]} > i32(y) + ${padding.top}; oy--) {
    if (oy >= ${outHeight}) { continue; }
    for (var ox = xLast; ox >= 0 && ox * ${strides[1]} + ${poolSize[1]} > i32(x) + ${padding.left}; ox--) {
      if (ox >= ${outWidth}) { continue; }
      let at = ${from};
${add}
    }
  }
  ${kernel.write(output, 'f32')}[i] = sum;`);
  return kernel;
}

/** Returns a kernel that sums a value over the pixels of each image, and multiplies the sums by a constant. */
export function pixelSumKernel(value: Value, factor: number, output: Resource): Kernel {
  const [height, width, channels] = value.shape.length === 3 ? value.shape : [1, 1, value.shape[0]];
  const kernel = elementKernel(channels);
  const load = value.load(kernel, 1);
  kernel.main(`  let i = group * ${threads}u + lane;
  if (i >= params.images * ${channels}u) { return; }
  let image = i / ${channels}u;
  let c = i % ${channels}u;
  var sum = 0.0;
  for (var y = 0u; y < ${height}u; y++) {
    var rowSum = 0.0;
    for (var x = 0u; x < ${width}u; x++) {
      rowSum = rowSum + ${load}(((image * ${height}u + y) * ${width}u + x) * ${channels}u + c, c);
    }
    sum = sum + rowSum;
  }
  ${kernel.write(output, 'f32')}[i] = sum * ${floatOf(factor)};`);
  return kernel;
}
