// Convolutions with several groups, depthwise ones included: one thread for each element of the result.
import { Extent, type Region, type Resource } from '../memory/resources.js';
import type { Epilogue, Value } from '../values/value.js';
import { stripPixels } from './convolution.js';
import type { Geometry } from './operands.js';
import { Kernel, typeOf, type Width } from '../wgsl/kernel.js';

const threads = 64;

/** Depthwise convolutions process four channels at once. */
function widthOf({ groups, channels, filters }: Geometry): Width {
  return groups === channels && groups === filters && channels % 4 === 0 ? 4 : 1;
}

/** Sizes of a group, in elements of the kernel's type. */
function sizesOf(g: Geometry) {
  const width = widthOf(g);
  const type = typeOf(width);
  const [channels, filters] = [g.channels / width, g.filters / width];
  const [inputs, outputs] = width === 4 ? [1, 1] : [g.channels / g.groups, g.filters / g.groups];
  return { width, type, channels, filters, inputs, outputs };
}

export function groupedForwardKernel(
  g: Geometry,
  input: Value,
  weights: Region,
  bias: Region | null,
  output: Resource,
): Kernel {
  const { width, type, channels, filters, inputs, outputs } = sizesOf(g);
  const elements = g.outHeight * g.outWidth * filters;
  const kernel = new Kernel({ groups: new Extent(elements, { per: threads }), threads });
  const load = input.load(kernel, width);
  const filter = kernel.read(weights, type);
  kernel.main(`  let i = group * ${threads}u + lane;
  if (i >= params.images * ${elements}u) { return; }
  let feature = i % ${filters}u;
  let pixel = i / ${filters}u;
  let image = pixel / ${g.outHeight * g.outWidth}u;
  let firstChannel = feature / ${outputs}u * ${inputs}u;
  let top = i32(pixel / ${g.outWidth}u % ${g.outHeight}u * ${g.strides[0]}u) - ${g.padding.top};
  let left = i32(pixel % ${g.outWidth}u * ${g.strides[1]}u) - ${g.padding.left};
  var sum = ${type}();
  for (var row = 0; row < ${g.kernelSize[0]}; row++) {
    for (var column = 0; column < ${g.kernelSize[1]}; column++) {
      let y = top + row;
      let x = left + column;
      if (y < 0 || y >= ${g.height} || x < 0 || x >= ${g.width}) { continue; }
      let source = ((image * ${g.height}u + u32(y)) * ${g.width}u + u32(x)) * ${channels}u + firstChannel;
      let weight = u32(row * ${g.kernelSize[1]} + column) * ${inputs * filters}u + feature;
      for (var k = 0u; k < ${inputs}u; k++) {
        sum = sum + ${load}(source + k, firstChannel + k) * ${filter}[weight + k * ${filters}u];
      }
    }
  }
  ${kernel.write(output, type)}[i] = sum${bias === null ? '' : ` + ${kernel.read(bias, type)}[feature]`};`);
  return kernel;
}

export function groupedInputGradientKernel(
  g: Geometry,
  gradient: Value,
  weights: Region,
  { value }: Epilogue,
  output: Resource,
): Kernel {
  const { width, type, channels, filters, inputs, outputs } = sizesOf(g);
  const elements = g.height * g.width * channels;
  const kernel = new Kernel({ groups: new Extent(elements, { per: threads }), threads });
  const load = gradient.load(kernel, width);
  const filter = kernel.read(weights, type);
  kernel.declare(`var<private> product: ${type};`);
  kernel.main(`  let i = group * ${threads}u + lane;
  if (i >= params.images * ${elements}u) { return; }
  let channel = i % ${channels}u;
  let pixel = i / ${channels}u;
  let image = pixel / ${g.height * g.width}u;
  let firstFeature = channel / ${inputs}u * ${outputs}u;
  let bottom = i32(pixel / ${g.width}u % ${g.height}u) + ${g.padding.top};
  let right = i32(pixel % ${g.width}u) + ${g.padding.left};
  var sum = ${type}();
  for (var row = 0; row < ${g.kernelSize[0]}; row++) {
    for (var column = 0; column < ${g.kernelSize[1]}; column++) {
      let y = bottom - row;
      let x = right - column;
      if (y < 0 || x < 0 || y % ${g.strides[0]} != 0 || x % ${g.strides[1]} != 0) { continue; }
      if (y / ${g.strides[0]} >= ${g.outHeight} || x / ${g.strides[1]} >= ${g.outWidth}) { continue; }
      let position = (image * ${g.outHeight}u + u32(y / ${g.strides[0]})) * ${g.outWidth}u + u32(x / ${g.strides[1]});
      let tap = u32(row * ${g.kernelSize[1]} + column);
      let weight = (tap * ${inputs}u + channel % ${inputs}u) * ${filters}u + firstFeature;
      for (var k = 0u; k < ${outputs}u; k++) {
        sum = sum + ${load}(position * ${filters}u + firstFeature + k, firstFeature + k) * ${filter}[weight + k];
      }
    }
  }
  product = sum;
  ${kernel.write(output, type)}[i] = ${value.load(kernel, width)}(i, channel);`);
  return kernel;
}

/** Returns the gradient with respect to the filters in strips: [strip, tap, channel in group, filter]. */
export function groupedFilterGradientKernel(g: Geometry, input: Value, gradient: Value, partials: Resource): Kernel {
  const { width, type, channels, filters, inputs, outputs } = sizesOf(g);
  const weights = g.kernelSize[0] * g.kernelSize[1] * inputs * filters;
  const blocks = Math.ceil(weights / threads);
  const pixels = g.outHeight * g.outWidth;
  const strip = stripPixels(pixels);
  const kernel = new Kernel({ groups: new Extent(pixels, { per: strip, times: blocks }), threads });
  const load = input.load(kernel, width);
  const loadGradient = gradient.load(kernel, width);
  kernel.main(`  let weight = group % ${blocks}u * ${threads}u + lane;
  if (weight >= ${weights}u) { return; }
  let strip = group / ${blocks}u;
  let end = min((strip + 1u) * ${strip}u, params.images * ${pixels}u);
  let feature = weight % ${filters}u;
  let channel = feature / ${outputs}u * ${inputs}u + weight / ${filters}u % ${inputs}u;
  let tap = weight / ${inputs * filters}u;
  let row = i32(tap / ${g.kernelSize[1]}u) - ${g.padding.top};
  let column = i32(tap % ${g.kernelSize[1]}u) - ${g.padding.left};
  var sum = ${type}();
  for (var first = strip * ${strip}u; first < end; first += 16u) {
    var part = ${type}();
    for (var pixel = first; pixel < min(first + 16u, end); pixel++) {
      let y = i32(pixel / ${g.outWidth}u % ${g.outHeight}u * ${g.strides[0]}u) + row;
      let x = i32(pixel % ${g.outWidth}u * ${g.strides[1]}u) + column;
      if (y < 0 || y >= ${g.height} || x < 0 || x >= ${g.width}) { continue; }
      let source = (pixel / ${pixels}u * ${g.height}u + u32(y)) * ${g.width}u + u32(x);
      part = part + ${load}(source * ${channels}u + channel, channel) * ${loadGradient}(pixel * ${filters}u + feature, feature);
    }
    sum = sum + part;
  }
  ${kernel.write(partials, type)}[strip * ${weights}u + weight] = sum;`);
  return kernel;
}
