// Templates for the innermost loops of batch norm and ReLU.
import { add, each, sub } from './expressions.mjs';

/**
 * Generates a kernel that sums over the pixels of an image, for `vectors` × 4 channels. The kernel adds each row of
 * pixels to `sums`, which holds two rows of one value per channel. The rows are `gap` bytes apart.
 * @param tensors names of the parameters with the tensors' addresses
 * @param begin code that declares the constants for vector v
 * @param value code that declares `value`, which is added to the first row of sums
 * @param second expression that is added to the second row of sums
 */
const sumsOfImage = (name, vectors, tensors, parameters, { begin, value, second }) => `
export function ${name}${4 * vectors}(${[...tensors, ...parameters, 'sums'].map((address) => `${address}: usize`).join(', ')}, pixelBytes: usize, rows: i32, columns: i32, gap: usize): void {
  const secondSums = sums + pixelBytes;
  const zero = f32x4.splat(0);
  ${each(vectors, begin)}
  for (let row = 0; row < rows; row++) {
    ${each(vectors, (v) => `let sum${v} = zero; let second${v} = zero;`)}
    for (let pixel = 0; pixel < columns; pixel++) {
      ${each(
        vectors,
        (v) => `{
        ${value(v)}
        sum${v} = ${add(`sum${v}`, 'value')};
        second${v} = ${add(`second${v}`, second(v))};
        }`,
      )}
      ${tensors.map((tensor) => `${tensor} += pixelBytes;`).join('\n')}
    }
    ${tensors.map((tensor) => `${tensor} += gap;`).join('\n')}
    ${each(
      vectors,
      (v) => `v128.store(sums, ${add(`v128.load(sums, ${16 * v})`, `sum${v}`)}, ${16 * v});
    v128.store(secondSums, ${add(`v128.load(secondSums, ${16 * v})`, `second${v}`)}, ${16 * v});`,
    )}
  }
}`;

const channelSums = [4, 1].flatMap((vectors) => [
  sumsOfImage('sumChannels', vectors, ['source'], [], {
    begin: () => '',
    value: (v) => `const value = v128.load(source, ${16 * v});`,
    second: () => 'f32x4.mul(value, value)',
  }),
  sumsOfImage('sumGradients', vectors, ['gradient', 'source'], ['means'], {
    begin: (v) => `const mean${v} = v128.load(means, ${16 * v});`,
    value: (v) => `const value = v128.load(gradient, ${16 * v});`,
    second: (v) => `f32x4.mul(value, ${sub(`v128.load(source, ${16 * v})`, `mean${v}`)})`,
  }),
  sumsOfImage('maskChannels', vectors, ['gradient', 'activation', 'source'], ['means'], {
    begin: (v) => `const mean${v} = v128.load(means, ${16 * v});`,
    value: (v) => `
        const isActive = f32x4.gt(v128.load(activation, ${16 * v}), zero);
        const value = v128.and(v128.load(gradient, ${16 * v}), isActive);
        v128.store(gradient, value, ${16 * v});`,
    second: (v) => `f32x4.mul(value, ${sub(`v128.load(source, ${16 * v})`, `mean${v}`)})`,
  }),
]);

/**
 * Generates a kernel that computes target = value(v) for a row of pixels, for `vectors` × 4 channels, with the
 * coefficients of these channels in registers.
 * @param coefficients names of the rows of coefficients; the variable for vector v has the index v appended to the name
 */
const rowOfPixels = (name, vectors, tensors, coefficients, value) => `
export function ${name}${4 * vectors}(${[...tensors, 'target', ...coefficients].map((address) => `${address}: usize`).join(', ')}, pixelBytes: usize, pixels: i32): void {
  const zero = f32x4.splat(0);
  ${coefficients.map((row) => each(vectors, (v) => `const ${row}${v} = v128.load(${row}, ${16 * v});`)).join('\n')}
  for (; pixels > 0; pixels--) {
    ${each(vectors, (v) => `v128.store(target, ${value(v)}, ${16 * v});`)}
    ${[...tensors, 'target'].map((tensor) => `${tensor} += pixelBytes;`).join('\n')}
  }
}`;

const scaledAndShifted = (v) => add(`f32x4.mul(v128.load(source, ${16 * v}), scales${v})`, `shifts${v}`);

const multiplied = (v) => `f32x4.mul(v128.load(source, ${16 * v}), factors${v})`;
const existing = (v) => `v128.load(target, ${16 * v})`;

/** Kernels for 4 vectors, as many as fit into the registers with their coefficients, and for 1 vector. */
const normalizedRows = [4, 1].flatMap((vectors) => [
  rowOfPixels('scaleRow', vectors, ['source'], ['scales', 'shifts'], scaledAndShifted),
  rowOfPixels('multiplyRow', vectors, ['source'], ['factors'], multiplied),
  rowOfPixels('addMultipliedRow', vectors, ['source'], ['factors'], (v) => add(existing(v), multiplied(v))),
  rowOfPixels(
    'normalizeRow',
    vectors,
    ['source'],
    ['scales', 'shifts'],
    (v) => `f32x4.pmax(${scaledAndShifted(v)}, zero)`,
  ),
  rowOfPixels(
    'normalizeRowWithShortcut',
    vectors,
    ['source', 'shortcut'],
    ['scales', 'shifts'],
    (v) => `f32x4.pmax(${add(scaledAndShifted(v), `v128.load(shortcut, ${16 * v})`)}, zero)`,
  ),
]);
const normalizedGradient = (v) => {
  const scaledGradient = `f32x4.mul(v128.load(gradient, ${16 * v}), scales${v})`;
  return add(add(scaledGradient, multiplied(v)), `addends${v}`);
};
const gradientRow = (name, vectors, value) =>
  rowOfPixels(name, vectors, ['gradient', 'source'], ['scales', 'factors', 'addends'], value);
const normalizedGradientRows = [
  ...[2, 1].map((vectors) => gradientRow('normalizeGradientRow', vectors, normalizedGradient)),
  gradientRow('addNormalizedGradientRow', 1, (v) => add(existing(v), normalizedGradient(v))),
];

export const batchNormKernels = [...normalizedRows, ...normalizedGradientRows, ...channelSums];
