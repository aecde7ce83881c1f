// Convolutions with one group as matrix products: the output, and the gradients with respect to the input and the filters.
// A dense layer is a convolution of images of one pixel.
import type { Padding } from '../../../../shared/network/layers.js';
import { Extent, type Region, type Resource } from '../memory/resources.js';
import type { Epilogue, Value } from '../values/value.js';
import type { PartialSums } from './column-sums.js';
import { Kernel, typeOf, widthFor, type Width } from '../wgsl/kernel.js';
import { addProduct, productGrid, type RowSums } from './matrix-product.js';

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

/** Returns output = patches × filters + bias. */
export function forwardKernel(
  g: Geometry,
  input: Value,
  filters: Region,
  bias: Region | null,
  output: Resource,
  moments?: PartialSums,
): Kernel {
  const taps = g.kernelSize[0] * g.kernelSize[1];
  const rows = new Extent(g.outHeight * g.outWidth);
  const shape = { rows, columns: g.filters, terms: new Extent(0, { plus: taps * g.channels }) };
  const kernel = new Kernel(productGrid(shape));
  declarePatches(kernel, g, input);
  kernel.declare(`fn patchAt(row: u32, term: u32, end: u32) -> vec4f { return patches(row, term); }`);
  declareRows(kernel, 'filtersAt', filters, taps * g.channels, g.filters);
  declareStore(kernel, output, g.filters, rows.wgsl, bias);
  const sums = moments && { terms: 'moments' as const, partials: kernel.write(moments.partials, 'f32') };
  addProduct(kernel, shape, { load: 'patchAt', along: 'sum' }, { load: 'filtersAt', along: 'outer' }, 'store', sums);
  return kernel;
}

/** Returns the gradient with respect to the input. */
export function inputGradientKernel(
  g: Geometry,
  gradient: Value,
  filters: Region,
  epilogue: Epilogue,
  output: Resource,
): Kernel {
  const taps = g.kernelSize[0] * g.kernelSize[1];
  const rows = new Extent(g.height * g.width);
  const shape = { rows, columns: g.channels, terms: new Extent(0, { plus: taps * g.filters }) };
  const kernel = new Kernel(productGrid(shape));
  declareOutputsOf(kernel, g, gradient);
  declareTransposed(kernel, filters, g);
  const sums = declareEpilogue(kernel, epilogue, output, g.channels);
  addProduct(kernel, shape, { load: 'outputsAt', along: 'sum' }, { load: 'filtersAt', along: 'sum' }, 'store', sums);
  return kernel;
}

/** Number of pixels whose products are summed in one strip, for images with this many pixels. */
export function stripPixels(pixels: number): number {
  return Math.max(512, Math.ceil(pixels / 16 / 512) * 512);
}

/** Returns the gradient with respect to the filters in strips: [strip, row, filter]. */
export function filterGradientKernel(g: Geometry, input: Value, gradient: Value, partials: Resource): Kernel {
  const taps = g.kernelSize[0] * g.kernelSize[1];
  const pixels = g.outHeight * g.outWidth;
  const terms = new Extent(pixels);
  const rowCount = taps * g.channels;
  const shape = { rows: new Extent(0, { plus: rowCount }), columns: g.filters, terms, strip: stripPixels(pixels) };
  const kernel = new Kernel(productGrid(shape));
  declarePatches(kernel, g, input);
  kernel.declare(`fn patchAt(row: u32, term: u32, end: u32) -> vec4f {
  if (term >= end) { return vec4f(); }
  return patches(term, row);
}`);
  declareGradientRows(kernel, g, gradient);
  declareStore(kernel, partials, g.filters, `${rowCount}u`, null);
  addProduct(kernel, shape, { load: 'patchAt', along: 'outer' }, { load: 'gradientAt', along: 'outer' }, 'store');
  return kernel;
}

/** Declares `patches`: four elements, from the given one, of the patch that an output pixel sees. */
function declarePatches(kernel: Kernel, g: Geometry, input: Value): void {
  const width = widthFor(g.channels);
  const load = input.load(kernel, width);
  const pixels = g.outHeight * g.outWidth;
  const size = g.kernelSize[0] * g.kernelSize[1] * g.channels;
  const isWhole = g.kernelSize[0] * g.kernelSize[1] * g.outHeight * g.outWidth === 1 && g.height * g.width === 1;
  kernel.declare(`fn patch1(pixel: u32, element: u32) -> ${typeOf(width)} {
  if (pixel >= params.images * ${pixels}u || element >= ${size}u) { return ${typeOf(width)}(); }
  let channel = element % ${g.channels}u / ${width}u;
${
  isWhole
    ? `  return ${load}(pixel * ${g.channels / width}u + channel, channel);`
    : `  let tap = element / ${g.channels}u;
  let y = i32(pixel / ${g.outWidth}u % ${g.outHeight}u * ${g.strides[0]}u + tap / ${g.kernelSize[1]}u) - ${g.padding.top};
  let x = i32(pixel % ${g.outWidth}u * ${g.strides[1]}u + tap % ${g.kernelSize[1]}u) - ${g.padding.left};
  if (y < 0 || y >= ${g.height} || x < 0 || x >= ${g.width}) { return ${typeOf(width)}(); }
  let source = (pixel / ${pixels}u * ${g.height}u + u32(y)) * ${g.width}u + u32(x);
  return ${load}(source * ${g.channels / width}u + channel, channel);`
}
}
fn patches(pixel: u32, element: u32) -> vec4f {
  return ${width === 4 ? 'patch1(pixel, element)' : fourCalls('patch1', 'pixel, element + @')};
}`);
}

/** Declares `outputsAt`: four elements of the gradients of the output pixels that saw an input pixel, tap by tap. */
function declareOutputsOf(kernel: Kernel, g: Geometry, gradient: Value): void {
  const width = widthFor(g.filters);
  const load = gradient.load(kernel, width);
  const pixels = g.height * g.width;
  const size = g.kernelSize[0] * g.kernelSize[1] * g.filters;
  const [rowStride, columnStride] = g.strides;
  kernel.declare(`fn outputAt(pixel: u32, element: u32) -> ${typeOf(width)} {
  if (pixel >= params.images * ${pixels}u || element >= ${size}u) { return ${typeOf(width)}(); }
  let feature = element % ${g.filters}u / ${width}u;
  let tap = element / ${g.filters}u;
  let y = i32(pixel / ${g.width}u % ${g.height}u) + ${g.padding.top} - i32(tap / ${g.kernelSize[1]}u);
  let x = i32(pixel % ${g.width}u) + ${g.padding.left} - i32(tap % ${g.kernelSize[1]}u);
  if (y < 0 || x < 0 || y % ${rowStride} != 0 || x % ${columnStride} != 0) { return ${typeOf(width)}(); }
  let row = u32(y) / ${rowStride}u;
  let column = u32(x) / ${columnStride}u;
  if (row >= ${g.outHeight}u || column >= ${g.outWidth}u) { return ${typeOf(width)}(); }
  let source = (pixel / ${pixels}u * ${g.outHeight}u + row) * ${g.outWidth}u + column;
  return ${load}(source * ${g.filters / width}u + feature, feature);
}
fn outputsAt(pixel: u32, element: u32, end: u32) -> vec4f {
  return ${width === 4 ? 'outputAt(pixel, element)' : fourCalls('outputAt', 'pixel, element + @')};
}`);
}

/** Declares `filtersAt`: four elements of one channel's filters, in the order of outputsAt. */
function declareTransposed(kernel: Kernel, filters: Region, g: Geometry): void {
  const width = widthFor(g.filters);
  const array = kernel.read(filters, typeOf(width));
  const size = g.kernelSize[0] * g.kernelSize[1] * g.filters;
  kernel.declare(`fn filterAt(channel: u32, element: u32) -> ${typeOf(width)} {
  if (channel >= ${g.channels}u || element >= ${size}u) { return ${typeOf(width)}(); }
  return ${array}[((element / ${g.filters}u * ${g.channels}u + channel) * ${g.filters}u + element % ${g.filters}u) / ${width}u];
}
fn filtersAt(channel: u32, element: u32, end: u32) -> vec4f {
  return ${width === 4 ? 'filterAt(channel, element)' : fourCalls('filterAt', 'channel, element + @')};
}`);
}

/** Declares a function that returns four elements, from a column, of a row of a matrix in memory. */
function declareRows(kernel: Kernel, name: string, matrix: Region, rows: number, columns: number): void {
  const width = widthFor(columns);
  const array = kernel.read(matrix, typeOf(width));
  kernel.declare(`fn ${name}1(column: u32, row: u32) -> ${typeOf(width)} {
  if (row >= ${rows}u || column >= ${columns}u) { return ${typeOf(width)}(); }
  return ${array}[(row * ${columns}u + column) / ${width}u];
}
fn ${name}(column: u32, row: u32, end: u32) -> vec4f {
  return ${width === 4 ? `${name}1(column, row)` : fourCalls(`${name}1`, 'column + @, row')};
}`);
}

/** Declares `gradientAt`: four elements, from a filter, of the gradient of an output pixel. */
function declareGradientRows(kernel: Kernel, g: Geometry, gradient: Value): void {
  const width = widthFor(g.filters);
  const load = gradient.load(kernel, width);
  kernel.declare(`fn gradient1(column: u32, pixel: u32, end: u32) -> ${typeOf(width)} {
  if (pixel >= end || column >= ${g.filters}u) { return ${typeOf(width)}(); }
  let channel = column / ${width}u;
  return ${load}(pixel * ${g.filters / width}u + channel, channel);
}
fn gradientAt(column: u32, pixel: u32, end: u32) -> vec4f {
  return ${width === 4 ? 'gradient1(column, pixel, end)' : fourCalls('gradient1', 'column + @, pixel, end')};
}`);
}

/** Declares `store`: writes four elements of a row, each plus its bias. */
function declareStore(kernel: Kernel, output: Resource, columns: number, rows: string, bias: Region | null): void {
  const width = widthFor(columns);
  const target = kernel.write(output, typeOf(width));
  const biases = bias === null ? null : kernel.read(bias, typeOf(width));
  const added = (index: string) => (biases === null ? '' : ` + ${biases}[${index}]`);
  const stores =
    width === 4
      ? `  result = value${added('column / 4u')};\n  ${target}[at / 4u] = result;`
      : [0, 1, 2, 3]
          .map(
            (n) =>
              `  if (column + ${n}u < ${columns}u) {
    result.${'xyzw'[n]} = value.${'xyzw'[n]}${added(`column + ${n}u`)};
    ${target}[at + ${n}u] = result.${'xyzw'[n]};
  }`,
          )
          .join('\n');
  kernel.declare(`fn store(strip: u32, row: u32, column: u32, value: vec4f) -> vec4f {
  let at = (strip * ${rows} + row) * ${columns}u + column;
  var result = value;
${stores}
  return result;
}`);
}

/** Declares `store`, which applies an epilogue to four elements and stores them, and the terms of the sums. */
function declareEpilogue(
  kernel: Kernel,
  { value, sums }: Epilogue,
  output: Resource,
  columns: number,
): RowSums | undefined {
  const width = widthFor(columns);
  kernel.declare(`var<private> product: ${typeOf(width)};`);
  const target = kernel.write(output, typeOf(width));
  kernel.declare(`fn store(strip: u32, row: u32, column: u32, value: vec4f) -> vec4f {
  let at = row * ${columns}u + column;
  var result = vec4f();
${eachOf(width, columns, (n, of) => `product = value${of}; result${of} = ${value.load(kernel, width)}(${n}); ${target}[${n.split(',')[0]}] = result${of};`)}
  return result;
}`);
  if (sums === null) return undefined;
  const terms = sums.terms.map((term, index) => {
    kernel.declare(`fn term${index}(row: u32, column: u32, value: vec4f) -> vec4f {
  let at = row * ${columns}u + column;
  var result = vec4f();
${eachOf(width, columns, (n, of) => `product = value${of}; result${of} = ${term.load(kernel, width)}(${n});`)}
  return result;
}`);
    return `term${index}`;
  });
  return { terms, partials: kernel.write(sums.partials, 'f32') };
}

/**
 * Returns statements for four elements, at once or one by one.
 * @param statements from the index and the channel of the elements, and the suffix that selects them from a vector
 */
function eachOf(width: Width, columns: number, statements: (indices: string, of: string) => string): string {
  if (width === 4) return `  ${statements('at / 4u, column / 4u', '')}`;
  return [0, 1, 2, 3]
    .map((n) => {
      const body = statements(`at + ${n}u, column + ${n}u`, `.${'xyzw'[n]}`);
      return `  if (column + ${n}u < ${columns}u) { ${body} }`;
    })
    .join('\n');
}

/** Returns four calls as one vector; @ in the arguments stands for 0 to 3. */
function fourCalls(name: string, args: string): string {
  return `vec4f(${[0, 1, 2, 3].map((n) => `${name}(${args.replace('@', `${n}u`)})`).join(', ')})`;
}
