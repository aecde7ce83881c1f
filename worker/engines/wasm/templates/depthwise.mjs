// Templates for the innermost loops of depthwise convolutions, in which each channel has filters of its own.
import { add, each } from './expressions.mjs';
import { addProduct } from './products.mjs';

/**
 * One row of a convolution: `pixels` × `vectors` × 4 channels. Always computes four pixels at a time, and discards those
 * after the end of the row.
 */
const convolveRow = (vectors) => `
export function depthwiseRow${4 * vectors}(source: usize, pixelBytes: usize, taps: usize, tapCount: i32, weights: usize, tapBytes: usize, bias: usize, adds: bool, target: usize, targetPixelBytes: usize, pixels: i32): void {
  for (; pixels > 0; pixels -= 4) {
    ${each(4, (row) => each(vectors, (v) => `let sum${row}${v} = bias ? v128.load(bias, ${16 * v}) : f32x4.splat(0);`))}
    let weight = weights;
    for (let tap = 0; tap < tapCount; tap++) {
      let at = source + load<u32>(taps + 4 * tap);
      ${each(vectors, (v) => `const weight${v} = v128.load(weight, ${16 * v});`)}
      ${each(
        4,
        (row) => `
      ${each(vectors, (v) => `sum${row}${v} = ${addProduct(`sum${row}${v}`, `v128.load(at, ${16 * v})`, `weight${v}`)};`)}
      at += pixelBytes;`,
      )}
      weight += tapBytes;
    }
    ${each(
      4,
      (row) => `
    if (pixels > ${row}) {
      if (adds) {
        ${each(vectors, (v) => `sum${row}${v} = ${add(`sum${row}${v}`, `v128.load(target, ${16 * v})`)};`)}
      }
      ${each(vectors, (v) => `v128.store(target, sum${row}${v}, ${16 * v});`)}
    }
    target += targetPixelBytes;`,
    )}
    source += 4 * pixelBytes;
  }
}`;

/** Adds the sums over an image for the next `taps` taps and `vectors` × 4 channels. */
const sumTaps = (taps, vectors) => `
    ${each(taps, (t) => `const tap${t} = load<u32>(taps, ${4 * t});`)}
    ${each(taps, (t) => each(vectors, (v) => `let sum${t}${v} = f32x4.splat(0);`))}
    let row = source;
    let gradientRow = gradient;
    for (let y = 0; y < rows; y++) {
      let at = row;
      let other = gradientRow;
      for (let pixel = 0; pixel < pixels; pixel++) {
        ${each(vectors, (v) => `const value${v} = v128.load(other, ${16 * v});`)}
        ${each(taps, (t) =>
          each(
            vectors,
            (v) => `sum${t}${v} = ${addProduct(`sum${t}${v}`, `v128.load(at + tap${t}, ${16 * v})`, `value${v}`)};`,
          ),
        )}
        at += pixelBytes;
        other += gradientPixelBytes;
      }
      row += rowBytes;
      gradientRow += gradientRowBytes;
    }
    ${each(
      taps,
      (t) => `
    ${each(vectors, (v) => `v128.store(sums, ${add(`v128.load(sums, ${16 * v})`, `sum${t}${v}`)}, ${16 * v});`)}
    sums += tapBytes;`,
    )}
    taps += ${4 * taps};`;

/** Filter gradient of an image for `vectors` × 4 channels, added to sums: four taps at a time, then one at a time. */
const sumAllTaps = (vectors) => `
export function sumTaps${4 * vectors}(source: usize, pixelBytes: usize, rowBytes: usize, taps: usize, tapCount: i32, gradient: usize, gradientPixelBytes: usize, gradientRowBytes: usize, rows: i32, pixels: i32, sums: usize, tapBytes: usize): void {
  for (; tapCount >= 4; tapCount -= 4) {
    ${sumTaps(4, vectors)}
  }
  for (; tapCount > 0; tapCount--) {
    ${sumTaps(1, vectors)}
  }
}`;

export const depthwiseKernels = [convolveRow(2), convolveRow(1), sumAllTaps(2), sumAllTaps(1)];
