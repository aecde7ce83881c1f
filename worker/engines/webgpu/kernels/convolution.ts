// Convolutions with one group as matrix products: the output, and the gradients with respect to the input and the filters.
// A dense layer is a convolution of images of one pixel.
import { Extent, type Region, type Resource } from '../memory/resources.js';
import type { Epilogue, Value } from '../values/value.js';
import type { PartialSums } from './column-sums.js';
import { Kernel, typeOf, widthFor, type Width } from '../wgsl/kernel.js';
import { addProduct, productGrid, type RowSums } from './matrix-product.js';
import {
  filterColumns,
  filterRows,
  gradientColumns,
  gradientRows,
  patchColumns,
  patchRows,
  type Geometry,
} from './operands.js';

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
  const [a, b] = [patchRows(kernel, g, input), filterColumns(kernel, g, filters)];
  declareStore(kernel, output, g.filters, rows.wgsl, bias);
  const sums = moments && { terms: 'moments' as const, partials: kernel.write(moments.partials, 'f32') };
  addProduct(kernel, shape, a, b, 'store', sums);
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
  const [a, b] = [gradientRows(kernel, g, gradient), filterRows(kernel, g, filters)];
  const sums = declareEpilogue(kernel, epilogue, output, g.channels);
  addProduct(kernel, shape, a, b, 'store', sums);
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
  const [a, b] = [patchColumns(kernel, g, input), gradientColumns(kernel, g, gradient)];
  declareStore(kernel, partials, g.filters, `${rowCount}u`, null);
  addProduct(kernel, shape, a, b, 'store');
  return kernel;
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
