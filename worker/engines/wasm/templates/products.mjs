// Templates for the innermost loops of convolutions: products of values and weights, summed in registers.
import { add, each, range } from './expressions.mjs';

/**
 * Returns an expression that adds a product to a sum. Where the build enables relaxed SIMD, product and sum are rounded
 * together, once; the condition is a constant, so the other branch leaves no trace in the module.
 */
export const addProduct = (sum, value, weight) =>
  `ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(${value}, ${weight}, ${sum}) : ${add(sum, `f32x4.mul(${value}, ${weight})`)}`;

/**
 * Generates code that multiplies values by weights and adds the products to 4 rows × `width` columns of accumulators.
 * With 8 columns, 11 of the 16 vector registers of x86-64 are in use: 8 for accumulators, 2 for weights, 1 for a value.
 * @param values returns an expression that loads the value for a row
 * @param weights returns an expression that loads a vector of columns
 */
function multiplyAdd(width, values, weights) {
  const vectors = width / 4;
  return `
    ${each(vectors, (v) => `const weight${v} = ${weights(v)};`)}
    ${each(4, (row) =>
      [
        `value = ${values(row)};`,
        ...range(vectors).map((v) => `sum${row}${v} = ${addProduct(`sum${row}${v}`, 'value', `weight${v}`)};`),
      ].join('\n'),
    )}`;
}

const accumulators = (width, initial) =>
  each(4, (row) => each(width / 4, (v) => `let sum${row}${v} = ${initial(row, v)};`));

/** Number of steps in each iteration of the depth loop. */
const unrolled = 8;
const rowAddresses = (first, step) =>
  `let at0 = ${first}, at1 = at0 + ${step}, at2 = at1 + ${step}, at3 = at2 + ${step};`;

/**
 * Generates a loop over the depth, eight steps per iteration. The depth is a multiple of 4, so the loop may end halfway
 * through an iteration. The other break statements are never taken, because the rows are distinct: they only keep each
 * step in a separate basic block. In a single block, the compiler would move all loads to the front and spill the
 * values.
 */
const depthLoop = (width) => {
  const step = (k) =>
    multiplyAdd(
      width,
      (row) => `v128.load32_splat(at${row}, ${4 * k})`,
      (v) => `v128.load(weight, ${4 * (width * k + 4 * v)})`,
    );
  const exits = ['at0 == at1', 'at1 == at2', 'at2 == at3', 'weight == half', 'at0 == at2', 'at1 == at3', 'at0 == at3'];
  return `
      const half = end - ${4 * width * 4};
      while (true) {
        ${range(unrolled)
          .map((k) => `{ ${step(k)} } ${k < exits.length ? `if (${exits[k]}) break;` : ''}`)
          .join('\n')}
        weight += ${4 * width * unrolled};
        if (weight == end) break;
        ${each(4, (row) => `at${row} += ${4 * unrolled};`)}
      }
      weight = end;`;
};

/** Matrix product for Winograd planes: (rows × depth) times (depth × width). Rows and depth are multiples of 4. */
const multiplyRows = (width) => `
export function multiplyRows${width}(source: usize, rowBytes: usize, weights: usize, depth: i32, target: usize, targetRowBytes: usize, rows: i32): void {
  const end = weights + <usize>depth * ${4 * width};
  for (; rows > 0; rows -= 4) {
    let weight = weights;
    ${rowAddresses('source', 'rowBytes')}
    let value: v128;
    ${accumulators(width, () => 'f32x4.splat(0)')}
    ${depthLoop(width)}
    ${each(4, (row) => {
      const stores = each(width / 4, (v) => `v128.store(target, sum${row}${v}, ${16 * v});`);
      return `${stores} target += targetRowBytes;`;
    })}
    source += 4 * rowBytes;
  }
}`;

/**
 * One row of a convolution: `pixels` × `width` output channels, summed over taps and input channels. Always computes four
 * pixels at a time, and discards those after the end of the row.
 */
const convolveRow = (width) => `
export function convolveRow${width}(source: usize, pixelBytes: usize, taps: usize, tapCount: i32, depth: i32, weights: usize, bias: usize, adds: bool, target: usize, targetPixelBytes: usize, pixels: i32): void {
  for (; pixels > 0; pixels -= 4) {
    let weight = weights;
    let value: v128;
    ${accumulators(width, (_, v) => `bias ? v128.load(bias, ${16 * v}) : f32x4.splat(0)`)}
    for (let tap = 0; tap < tapCount; tap++) {
      ${rowAddresses('source + load<u32>(taps + 4 * tap)', 'pixelBytes')}
      const end = weight + <usize>depth * ${4 * width};
          ${depthLoop(width)}
    }
    ${each(
      4,
      (row) => `
      if (pixels > ${row}) {
      if (adds) {
        ${each(width / 4, (v) => `sum${row}${v} = f32x4.add(sum${row}${v}, v128.load(target, ${16 * v}));`)}
      }
      ${each(width / 4, (v) => `v128.store(target, sum${row}${v}, ${16 * v});`)}
      }
      target += targetPixelBytes;`,
    )}
    source += 4 * pixelBytes;
  }
}`;

/**
 * Filter gradient for 4 input channels × `width` output channels: input × gradient, summed over rows of pixels of some
 * images. The sums are contiguous: 4 rows of `width` values. The loop tests for the end after each pixel.
 */
const sumProducts = (width) => {
  const step = `{ ${multiplyAdd(
    width,
    (row) => `v128.load32_splat(at, ${4 * row})`,
    (v) => `v128.load(other, ${16 * v})`,
  )} }
      at += pixelBytes;
      other += gradientPixelBytes;
      if (other == end) break;`;
  const offset = (row, v) => 4 * (width * row + 4 * v);
  return `
export function sumProducts${width}(source: usize, pixelBytes: usize, rowBytes: usize, imageBytes: usize, gradient: usize, gradientPixelBytes: usize, gradientRowBytes: usize, gradientImageBytes: usize, images: i32, rows: i32, pixels: i32, sums: usize, adds: bool): void {
  let value: v128;
  ${accumulators(width, () => 'f32x4.splat(0)')}
  if (adds) {
    ${each(4, (row) => each(width / 4, (v) => `sum${row}${v} = v128.load(sums, ${offset(row, v)});`))}
  }
  for (let image = 0; image < images; image++) {
    let sourceRow = source;
    let gradientRow = gradient;
    for (let row = 0; row < rows; row++) {
      let at = sourceRow;
      let other = gradientRow;
      const end = other + <usize>pixels * gradientPixelBytes;
      while (true) {
        ${range(4)
          .map(() => step)
          .join('\n')}
      }
      sourceRow += rowBytes;
      gradientRow += gradientRowBytes;
    }
    source += imageBytes;
    gradient += gradientImageBytes;
  }
  ${each(4, (row) => each(width / 4, (v) => `v128.store(sums, sum${row}${v}, ${offset(row, v)});`))}
}`;
};

export const productKernels = [
  multiplyRows(8),
  multiplyRows(4),
  convolveRow(8),
  convolveRow(4),
  sumProducts(8),
  sumProducts(4),
];
