// Templates for the transforms of Winograd's F(4×4, 3×3) with the points 0, 1, -1, 2, -2 and infinity. A
// one-dimensional transform gets the expressions for its input from `load` and passes the expressions for its results
// to `store`.
import { add, each, scaled, sub } from './expressions.mjs';

/** Bytes from one of the 36 planes to the next: 2048 values and a cache line, so planes use different cache sets. */
const planeBytes = 2048 * 4 + 64;

/** Transform Bᵀ, from six input values to six transformed values. */
const inputLine = (load, store) => `
  ${each(6, (i) => `const d${i} = ${load(i)};`)}
  const c = ${sub('d4', 'd2')};
  const g = ${sub('d3', 'd1')};
  const twice = ${add('g', 'g')};
  const even = ${sub('d4', scaled(4, 'd2'))};
  const odd = ${sub('d3', scaled(4, 'd1'))};
  ${store(0, add(scaled(4, sub('d0', 'd2')), 'c'))}
  ${store(1, add('even', 'odd'))}
  ${store(2, sub('even', 'odd'))}
  ${store(3, add('c', 'twice'))}
  ${store(4, sub('c', 'twice'))}
  ${store(5, sub(sub('d5', 'd3'), scaled(4, 'g')))}`;

/** Transform A, from four values of the output gradient to six transformed values. */
const gradientLine = (load, store) => `
  ${each(4, (i) => `const y${i} = ${load(i)};`)}
  const even = ${add('y0', 'y2')};
  const odd = ${add('y1', 'y3')};
  const even2 = ${add('y0', scaled(4, 'y2'))};
  const odd2 = ${add(scaled(2, 'y1'), scaled(8, 'y3'))};
  ${store(0, 'y0')}
  ${store(1, add('even', 'odd'))}
  ${store(2, sub('even', 'odd'))}
  ${store(3, add('even2', 'odd2'))}
  ${store(4, sub('even2', 'odd2'))}
  ${store(5, 'y3')}`;

/** Transform Aᵀ, from six values of a product to four output values. */
const outputLine = (load, store) => `
  ${each(6, (i) => `const m${i} = ${load(i)};`)}
  const p = ${add('m1', 'm2')};
  const q = ${sub('m1', 'm2')};
  const r = ${add('m3', 'm4')};
  const s = ${sub('m3', 'm4')};
  ${store(0, add(add('m0', 'p'), 'r'))}
  ${store(1, add('q', scaled(2, 's')))}
  ${store(2, add('p', scaled(4, 'r')))}
  ${store(3, add(add('q', scaled(8, 's')), 'm5'))}`;

/** Transform G, from three weights to six transformed weights. */
const weightLine = (load, store) => `
  ${each(3, (i) => `const w${i} = ${load(i)};`)}
  const outer = ${add('w0', 'w2')};
  const outer2 = ${add('w0', scaled(4, 'w2'))};
  ${store(0, scaled('0.25', 'w0'))}
  ${store(1, scaled('<f32>(-1.0 / 6.0)', add('outer', 'w1')))}
  ${store(2, scaled('<f32>(-1.0 / 6.0)', sub('outer', 'w1')))}
  ${store(3, scaled('<f32>(1.0 / 24.0)', add('outer2', scaled(2, 'w1'))))}
  ${store(4, scaled('<f32>(1.0 / 24.0)', sub('outer2', scaled(2, 'w1'))))}
  ${store(5, 'w2')}`;

/** Transform Gᵀ, from six sums to the gradients of three weights. */
const weightGradientLine = (load, store) => `
  ${each(6, (i) => `const u${i} = ${load(i)};`)}
  const p = ${scaled('<f32>(1.0 / 6.0)', add('u1', 'u2'))};
  const q = ${scaled('<f32>(1.0 / 6.0)', sub('u2', 'u1'))};
  const r = ${scaled('<f32>(1.0 / 24.0)', add('u3', 'u4'))};
  const s = ${scaled('<f32>(1.0 / 12.0)', sub('u3', 'u4'))};
  ${store(0, add(sub(scaled('0.25', 'u0'), 'p'), 'r'))}
  ${store(1, add('q', 's'))}
  ${store(2, add(sub(scaled(4, 'r'), 'p'), 'u5'))}`;

/** Second half of a tile's transform, along the rows: from columns of 6 vectors, 96 bytes apart, to the 36 planes. */
const linesToPlanes = (line, from, out) => `
    for (let row = 0; row < 6; row++) {
      ${line(
        (i) => `v128.load(${from}, ${96 * i})`,
        (i, value) => `v128.store(${out}, ${value}, ${planeBytes * i});`,
      )}
      ${from} += 16;
      ${out} += ${6 * planeBytes};
    }`;

/**
 * Transforms adjacent tiles of 6×6 pixels, 4 channels at a time. Transforms the columns first, because adjacent tiles
 * share two columns: `work` holds 4 columns per tile plus 2, each 96 bytes. In the planes, the tiles are `tileBytes`
 * apart.
 */
const inputTilesToPlanes = `
export function inputTilesToPlanes(corner: usize, pixelBytes: usize, rowBytes: usize, channels: i32, tiles: i32, plane: usize, tileBytes: usize, work: usize): void {
  const end = work + <usize>(4 * tiles + 2) * 96;
  for (let channel = 0; channel < channels; channel += 4) {
    let at = corner;
    for (let to = work; to < end; to += 96) {
      ${each(5, (i) => `const row${i + 1} = ${i ? `row${i}` : 'at'} + rowBytes;`)}
      ${inputLine(
        (i) => `v128.load(${i ? `row${i}` : 'at'})`,
        (i, value) => `v128.store(to, ${value}, ${16 * i});`,
      )}
      at += pixelBytes;
    }
    let columns = work;
    let ofTile = plane;
    for (let tile = 0; tile < tiles; tile++) {
      let from = columns;
      let out = ofTile;
      ${linesToPlanes(inputLine, 'from', 'out')}
      columns += 4 * 96;
      ofTile += tileBytes;
    }
    corner += 16;
    plane += 16;
  }
}`;

/** Transforms a tile of 4×4 pixels of an output gradient, 4 channels at a time. */
const gradientTileToPlanes = `
export function gradientTileToPlanes(corner: usize, pixelBytes: usize, rowBytes: usize, channels: i32, plane: usize, work: usize): void {
  for (let channel = 0; channel < channels; channel += 4) {
    let at = corner;
    let to = work;
    for (let column = 0; column < 4; column++) {
      ${each(3, (i) => `const row${i + 1} = ${i ? `row${i}` : 'at'} + rowBytes;`)}
      ${gradientLine(
        (i) => `v128.load(${i ? `row${i}` : 'at'})`,
        (i, value) => `v128.store(to, ${value}, ${16 * i});`,
      )}
      at += pixelBytes;
      to += 96;
    }
    let from = work;
    let out = plane;
    ${linesToPlanes(gradientLine, 'from', 'out')}
    corner += 16;
    plane += 16;
  }
}`;

/** First half of the output transform, for four channels of a tile: from the 36 planes to work[column][6 rows]. */
const planesToLines = `
    let from = plane;
    let to = work;
    for (let row = 0; row < 6; row++) {
      ${outputLine(
        (i) => `v128.load(from, ${planeBytes * i})`,
        (i, value) => `v128.store(to, ${value}, ${96 * i});`,
      )}
      from += ${6 * planeBytes};
      to += 16;
    }`;

/**
 * Generates a kernel that computes a tile of 4×4 pixels for all channels, a column at a time. The code in `finish`
 * stores the four values of a column, y0 to y3; the code in `begin` and `end` precedes and follows the columns of each
 * vector of channels.
 */
const planesToPixels = (name, parameters, offsetBase, begin, finish, end) => `
export function ${name}(plane: usize, pixelBytes: usize, rowBytes: usize, ${parameters}, work: usize): void {
  for (let channel: usize = 0; channel < pixelBytes; channel += 16) {
    ${planesToLines}
    ${begin}
    let at0 = ${offsetBase} + channel;
    let line = work;
    for (let column = 0; column < 4; column++) {
      const at1 = at0 + rowBytes, at2 = at1 + rowBytes, at3 = at2 + rowBytes;
      ${outputLine(
        (i) => `v128.load(line, ${16 * i})`,
        (i, value) => `let y${i} = ${value};`,
      )}
      ${finish}
      at0 += pixelBytes;
      line += 96;
    }
    ${end}
    plane += 16;
  }
}`;

/** As planesToPixels, with code that adds to `sums`, which holds two rows of one value per channel. */
const planesToPixelsAndSums = (name, parameters, offsetBase, begin, finish) =>
  planesToPixels(
    name,
    `sums: usize, ${parameters}`,
    offsetBase,
    `let sum = v128.load(sums + channel);
    let second = v128.load(sums + pixelBytes + channel);
    ${begin}`,
    finish,
    `v128.store(sums + channel, sum);
    v128.store(sums + pixelBytes + channel, second);`,
  );

/** Adds the bias, unless it is 0, and adds to the existing values of the target or overwrites them. */
const planesToTarget = planesToPixels(
  'planesToTarget',
  'bias: usize, adds: bool, target: usize',
  'target',
  'const offset = bias ? v128.load(bias + channel) : f32x4.splat(0);',
  `${each(4, (i) => `y${i} = ${add(`y${i}`, 'offset')};`)}
      if (adds) {
        ${each(4, (i) => `y${i} = ${add(`y${i}`, `v128.load(at${i})`)};`)}
      }
      ${each(4, (i) => `v128.store(at${i}, y${i});`)}`,
  '',
);

const sumOfFour = (value) => add(add(value(0), value(1)), add(value(2), value(3)));

/** In this kernel, target is the address of the tile's corner, and the second row of sums holds the sums of squares. */
const planesToOutput = planesToPixelsAndSums(
  'planesToOutput',
  'target: usize',
  'target',
  '',
  `${each(4, (i) => `v128.store(at${i}, y${i});`)}
      sum = ${add(
        'sum',
        sumOfFour((i) => `y${i}`),
      )};
      second = ${add(
        'second',
        sumOfFour((i) => `f32x4.mul(y${i}, y${i})`),
      )};`,
);

/**
 * In this kernel, corner is the offset of the tile's corner in all tensors, and the second row of sums holds the sums
 * of value × (normalized - mean).
 */
const planesToGradient = (hasShortcut) =>
  planesToPixelsAndSums(
    hasShortcut ? 'planesToGradientWithShortcut' : 'planesToGradient',
    'corner: usize, target: usize, shortcut: usize, activation: usize, normalized: usize, means: usize',
    'corner',
    'const mean = v128.load(means + channel); const zero = f32x4.splat(0);',
    `${each(
      4,
      (i) => `
      ${hasShortcut ? `y${i} = ${add(`y${i}`, `v128.load(shortcut + at${i})`)};` : ''}
      y${i} = v128.and(y${i}, f32x4.gt(v128.load(activation + at${i}), zero));
      v128.store(target + at${i}, y${i});
      const product${i} = f32x4.mul(y${i}, ${sub(`v128.load(normalized + at${i})`, 'mean')});`,
    )}
      sum = ${add(
        'sum',
        sumOfFour((i) => `y${i}`),
      )};
      second = ${add(
        'second',
        sumOfFour((i) => `product${i}`),
      )};`,
  );

/** Transforms a 3×3 filter at `work` (9 vectors, one per tap) into 36 vectors at work + 432. */
const weightTransform = `
export function transformWeights(work: usize): void {
  const lines = work + 144;
  for (let column = 0; column < 3; column++) {
    const at = work + 16 * column;
    const to = lines + 16 * column;
    ${weightLine(
      (i) => `v128.load(at, ${48 * i})`,
      (i, value) => `v128.store(to, ${value}, ${48 * i});`,
    )}
  }
  for (let row = 0; row < 6; row++) {
    const at = lines + 48 * row;
    const to = work + 96 * row + 432;
    ${weightLine(
      (i) => `v128.load(at, ${16 * i})`,
      (i, value) => `v128.store(to, ${value}, ${16 * i});`,
    )}
  }
}`;

/** Transforms 36 vectors of sums at `work` into the gradient of a 3×3 filter, 9 vectors at work + 576. */
const weightGradientTransform = `
export function transformWeightSums(work: usize): void {
  const lines = work + 576 + 144;
  const filter = work + 576;
  for (let column = 0; column < 6; column++) {
    const at = work + 16 * column;
    const to = lines + 16 * column;
    ${weightGradientLine(
      (i) => `v128.load(at, ${96 * i})`,
      (i, value) => `v128.store(to, ${value}, ${96 * i});`,
    )}
  }
  for (let row = 0; row < 3; row++) {
    const at = lines + 96 * row;
    const to = filter + 48 * row;
    ${weightGradientLine(
      (i) => `v128.load(at, ${16 * i})`,
      (i, value) => `v128.store(to, ${value}, ${16 * i});`,
    )}
  }
}`;

export const winogradKernels = [
  inputTilesToPlanes,
  gradientTileToPlanes,
  planesToTarget,
  planesToOutput,
  planesToGradient(false),
  planesToGradient(true),
  weightTransform,
  weightGradientTransform,
];
