// The matrices whose products are convolutions and their gradients: patches of images, filters, and gradients. Elements
// outside a matrix are selected away instead of branched around: compilers take minutes for so many branches.
import type { Padding } from '../../../../shared/network/layers.js';
import type { Region } from '../memory/resources.js';
import type { Value } from '../values/value.js';
import { quotient, remainder } from '../wgsl/integers.js';
import { typeOf, widthFor, type Kernel } from '../wgsl/kernel.js';
import type { Operand } from './matrix-product.js';

/** Shapes of a convolution. */
export interface Geometry {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly filters: number;
  readonly kernelSize: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly padding: Padding;
  readonly groups: number;
}

const four = [0, 1, 2, 3];

/** Returns four expressions as a vector, or the first one if it is a vector already. */
function vectorOf(width: 1 | 4, expression: (n: number) => string): string {
  return width === 4 ? expression(0) : `vec4f(${four.map(expression).join(', ')})`;
}

/** Returns the numbers of the elements that are loaded one by one: only the first if four are loaded at once. */
function elementsOf(width: 1 | 4): readonly number[] {
  return width === 4 ? [0] : four;
}

/** Declares a function that loads an element of an image at a place that may be outside it. */
function declareInput(kernel: Kernel, g: Geometry, input: Value): 1 | 4 {
  const width = widthFor(g.channels);
  const type = typeOf(width);
  kernel.declare(`fn inputAt(isValid: bool, y: i32, x: i32, at: i32, channel: u32) -> ${type} {
  let isInside = isValid & (y >= 0) & (y < ${g.height}) & (x >= 0) & (x < ${g.width});
  return select(${type}(), ${input.load(kernel, width)}(select(0u, u32(at), isInside), channel), isInside);
}`);
  return width;
}

/** Returns statements that find an output pixel's window: its corner, and the index of the corner's first element. */
function windowOf(g: Geometry, n: number, pixel: string, width: 1 | 4): string {
  const pixels = g.outHeight * g.outWidth;
  return `  let y${n} = i32(${remainder(quotient(pixel, g.outWidth), g.outHeight)} * ${g.strides[0]}u) - ${g.padding.top};
  let x${n} = i32(${remainder(pixel, g.outWidth)} * ${g.strides[1]}u) - ${g.padding.left};
  let at${n} = ((i32(${quotient(pixel, pixels)}) * ${g.height} + y${n}) * ${g.width} + x${n}) * ${g.channels / width};`;
}

/** Returns statements that find the tap and the channel of an element of a patch. */
function tapOf(g: Geometry, n: number, element: string, width: 1 | 4): string {
  const tap = quotient(element, g.channels);
  return `  let row${n} = i32(${quotient(tap, g.kernelSize[1])});
  let column${n} = i32(${remainder(tap, g.kernelSize[1])});
  let channel${n} = ${quotient(remainder(element, g.channels), width)};
  let offset${n} = (row${n} * ${g.width} + column${n}) * ${g.channels / width} + i32(channel${n});`;
}

/** Patches as rows: the lines are output pixels, the terms the elements of their patches. */
export function patchRows(kernel: Kernel, g: Geometry, input: Value): Operand {
  const width = declareInput(kernel, g, input);
  const size = g.kernelSize[0] * g.kernelSize[1] * g.channels;
  const element = (line: number) => (n: number) =>
    `inputAt(isInside${line} & (term + ${n}u < ${size}u), y${line} + row${n}, x${line} + column${n}, at${line} + offset${n}, channel${n})`;
  return {
    along: 'terms',
    prepare: (begin) =>
      four
        .map(
          (line) => `  let isInside${line} = ${begin} + ${line}u < params.images * ${g.outHeight * g.outWidth}u;
${windowOf(g, line, `(${begin} + ${line}u)`, width)}`,
        )
        .join('\n'),
    step: elementsOf(width)
      .map((n) => tapOf(g, n, `(term + ${n}u)`, width))
      .join('\n'),
    load: (line) => vectorOf(width, element(line)),
  };
}

/** Patches as columns: the lines are the elements of patches, the terms output pixels. */
export function patchColumns(kernel: Kernel, g: Geometry, input: Value): Operand {
  const width = declareInput(kernel, g, input);
  const size = g.kernelSize[0] * g.kernelSize[1] * g.channels;
  const element = (term: number) => (n: number) =>
    `inputAt(isElement${n} & (term + ${term}u < endTerm), y${term} + row${n}, x${term} + column${n}, at${term} + offset${n}, channel${n})`;
  return {
    along: 'lines',
    prepare: (begin) =>
      elementsOf(width)
        .map(
          (n) => `  let isElement${n} = ${begin} + ${n}u < ${size}u;
${tapOf(g, n, `(${begin} + ${n}u)`, width)}`,
        )
        .join('\n'),
    step: four.map((term) => windowOf(g, term, `(term + ${term}u)`, width)).join('\n'),
    load: (term) => vectorOf(width, element(term)),
  };
}

/** Filters as columns: the lines are filters, the terms the elements of patches. */
export function filterColumns(kernel: Kernel, g: Geometry, filters: Region): Operand {
  const width = widthFor(g.filters);
  const type = typeOf(width);
  const array = kernel.read(filters, type);
  const size = g.kernelSize[0] * g.kernelSize[1] * g.channels;
  kernel.declare(`fn filterAt(line: u32, term: u32) -> ${type} {
  let isInside = (line < ${g.filters}u) & (term < ${size}u);
  return select(${type}(), ${array}[select(0u, ${quotient(`term * ${g.filters}u + line`, width)}, isInside)], isInside);
}`);
  return {
    along: 'lines',
    prepare: (begin) => `  let filter0 = ${begin};`,
    step: '',
    load: (term) => vectorOf(width, (n) => `filterAt(filter0 + ${n}u, term + ${term}u)`),
  };
}

/** Gradients as columns: the lines are filters, the terms output pixels. */
export function gradientColumns(kernel: Kernel, g: Geometry, gradient: Value): Operand {
  const width = widthFor(g.filters);
  const type = typeOf(width);
  kernel.declare(`fn gradientAt(isTerm: bool, pixel: u32, line: u32) -> ${type} {
  let isInside = isTerm & (line < ${g.filters}u);
  let at = select(0u, ${quotient(`pixel * ${g.filters}u + line`, width)}, isInside);
  return select(${type}(), ${gradient.load(kernel, width)}(at, select(0u, ${quotient('line', width)}, isInside)), isInside);
}`);
  return {
    along: 'lines',
    prepare: (begin) => `  let filter0 = ${begin};`,
    step: '',
    load: (term) => vectorOf(width, (n) => `gradientAt(term + ${term}u < endTerm, term + ${term}u, filter0 + ${n}u)`),
  };
}

/**
 * Gradients as rows: the lines are input pixels, the terms the taps and filters of the output pixels that saw them.
 */
export function gradientRows(kernel: Kernel, g: Geometry, gradient: Value): Operand {
  const width = widthFor(g.filters);
  const type = typeOf(width);
  const pixels = g.height * g.width;
  const size = g.kernelSize[0] * g.kernelSize[1] * g.filters;
  const [rowStride, columnStride] = g.strides;
  kernel.declare(`fn outputAt(isValid: bool, image: u32, y: i32, x: i32, feature: u32) -> ${type} {
  let isAligned = (${remainder('u32(y)', rowStride)} == 0u) & (${remainder('u32(x)', columnStride)} == 0u);
  let row = ${quotient('u32(y)', rowStride)};
  let column = ${quotient('u32(x)', columnStride)};
  let isInside = isValid & isAligned & (y >= 0) & (x >= 0) & (row < ${g.outHeight}u) & (column < ${g.outWidth}u);
  let pixel = (image * ${g.outHeight}u + row) * ${g.outWidth}u + column;
  let at = select(0u, pixel * ${g.filters / width}u + feature, isInside);
  return select(${type}(), ${gradient.load(kernel, width)}(at, feature), isInside);
}`);
  const element = (line: number) => (n: number) =>
    `outputAt(isInside${line} & (term + ${n}u < ${size}u), image${line}, y${line} - row${n}, x${line} - column${n}, feature${n})`;
  return {
    along: 'terms',
    prepare: (begin) =>
      four
        .map(
          (line) => `  let isInside${line} = ${begin} + ${line}u < params.images * ${pixels}u;
  let image${line} = ${quotient(`${begin} + ${line}u`, pixels)};
  let y${line} = i32(${remainder(quotient(`${begin} + ${line}u`, g.width), g.height)}) + ${g.padding.top};
  let x${line} = i32(${remainder(`${begin} + ${line}u`, g.width)}) + ${g.padding.left};`,
        )
        .join('\n'),
    step: elementsOf(width)
      .map((n) => {
        const tap = quotient(`term + ${n}u`, g.filters);
        return `  let row${n} = i32(${quotient(tap, g.kernelSize[1])});
  let column${n} = i32(${remainder(tap, g.kernelSize[1])});
  let feature${n} = ${quotient(remainder(`term + ${n}u`, g.filters), width)};`;
      })
      .join('\n'),
    load: (line) => vectorOf(width, element(line)),
  };
}

/** Filters of each channel as columns: the lines are channels, the terms taps and filters. */
export function filterRows(kernel: Kernel, g: Geometry, filters: Region): Operand {
  const width = widthFor(g.filters);
  const type = typeOf(width);
  const array = kernel.read(filters, type);
  const size = g.kernelSize[0] * g.kernelSize[1] * g.filters;
  kernel.declare(`fn filterAt(line: u32, term: u32, at: u32) -> ${type} {
  let isInside = (line < ${g.channels}u) & (term < ${size}u);
  return select(${type}(), ${array}[select(0u, at + line * ${g.filters / width}u, isInside)], isInside);
}`);
  return {
    along: 'terms',
    prepare: (begin) => `  let channel0 = ${begin};`,
    step: elementsOf(width)
      .map((n) => {
        const [tap, feature] = [quotient(`term + ${n}u`, g.filters), remainder(`term + ${n}u`, g.filters)];
        return `  let weight${n} = ${quotient(`${tap} * ${g.channels * g.filters}u + ${feature}`, width)};`;
      })
      .join('\n'),
    load: (line) => vectorOf(width, (n) => `filterAt(channel0 + ${line}u, term + ${n}u, weight${n})`),
  };
}
