// Writes the AssemblyScript of the innermost loops, as text. They are unrolled, and AssemblyScript can do that neither
// for accumulators (an inlined function cannot update its caller's locals) nor for the constant offsets of loads and
// stores (an inlined function's arguments are no constants), so a page of templates does it here.

/** Bytes from one of the 36 Winograd planes to the next: 2048 values, and a cache line so that planes do not collide. */
const planeBytes = 2048 * 4 + 64;

const range = (count) => Array.from({ length: count }, (_, index) => index);
const each = (count, write) => range(count).map(write).join('\n');

/**
 * Four rows by `width` columns of accumulators: 8 columns fill the registers (8 accumulators, 2 weights, 1 value).
 * @param values where row r's value is loaded from
 * @param weights where the columns are loaded from
 */
function multiplyAdd(width, values, weights) {
  const vectors = width / 4;
  return `
    ${each(vectors, (v) => `const weight${v} = ${weights(v)};`)}
    ${each(4, (row) =>
      [
        `value = ${values(row)};`,
        ...range(vectors).map((v) => `sum${row}${v} = f32x4.add(sum${row}${v}, f32x4.mul(value, weight${v}));`),
      ].join('\n'),
    )}`;
}

const accumulators = (width, initial) =>
  each(4, (row) => each(width / 4, (v) => `let sum${row}${v} = ${initial(row, v)};`));

/** Steps of a turn of the depth loop. */
const unrolled = 8;
const rowAddresses = (first, step) =>
  `let at0 = ${first}, at1 = at0 + ${step}, at2 = at1 + ${step}, at3 = at2 + ${step};`;

/**
 * A pass over `depth` weights, eight to a turn of the loop. Depth is a multiple of 4, so it may end half way through a
 * turn. The other breaks are never taken, as rows are apart: they keep the steps in basic blocks of their own. In one
 * block the compiler moves all loads to the front and spills what it loaded.
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

/** rows (a multiple of 4) × depth (a multiple of 4) times depth × width, for Winograd's planes. */
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

/** One row of a convolution: pixels (a multiple of 4) × width output channels, summed over taps and input channels. */
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
      if (adds) {
        ${each(width / 4, (v) => `sum${row}${v} = f32x4.add(sum${row}${v}, v128.load(target, ${16 * v}));`)}
      }
      ${each(width / 4, (v) => `v128.store(target, sum${row}${v}, ${16 * v});`)}
      target += targetPixelBytes;`,
    )}
    source += 4 * pixelBytes;
  }
}`;

/**
 * 4 input channels × width output channels of a filter's gradient: sums over rows of pixels of input × gradient. The
 * sums lie together: 4 rows of width values. Pixels are a multiple of 4; the loop may end at any of them.
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
  const place = (row, v) => 4 * (width * row + 4 * v);
  return `
export function sumProducts${width}(source: usize, pixelBytes: usize, rowBytes: usize, gradient: usize, gradientPixelBytes: usize, gradientRowBytes: usize, rows: i32, pixels: i32, sums: usize, adds: bool): void {
  let value: v128;
  ${accumulators(width, () => 'f32x4.splat(0)')}
  if (adds) {
    ${each(4, (row) => each(width / 4, (v) => `sum${row}${v} = v128.load(sums, ${place(row, v)});`))}
  }
  for (let row = 0; row < rows; row++) {
    let at = source;
    let other = gradient;
    const end = other + <usize>pixels * gradientPixelBytes;
    while (true) {
      ${range(4)
        .map(() => step)
        .join('\n')}
    }
    source += rowBytes;
    gradient += gradientRowBytes;
  }
  ${each(4, (row) => each(width / 4, (v) => `v128.store(sums, sum${row}${v}, ${place(row, v)});`))}
}`;
};

// The one-dimensional transforms of F(4×4, 3×3) with the points 0, 1, -1, 2, -2 and infinity. Each reads its values from
// locals named by `from` and hands expressions for its results to `to`.

const scaled = (factor, value) => `f32x4.mul(${value}, f32x4.splat(${factor}))`;
const add = (a, b) => `f32x4.add(${a}, ${b})`;
const sub = (a, b) => `f32x4.sub(${a}, ${b})`;

/** Bᵀ: six values of an input line. */
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

/** A: four values of an output gradient's line become six. */
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

/** Aᵀ: six values of a product become four of an output line. */
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

/** G: three weights become six. */
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

/** Gᵀ: six sums become the gradients of three weights. */
const weightGradientLine = (load, store) => `
  ${each(6, (i) => `const u${i} = ${load(i)};`)}
  const p = ${scaled('<f32>(1.0 / 6.0)', add('u1', 'u2'))};
  const q = ${scaled('<f32>(1.0 / 6.0)', sub('u2', 'u1'))};
  const r = ${scaled('<f32>(1.0 / 24.0)', add('u3', 'u4'))};
  const s = ${scaled('<f32>(1.0 / 12.0)', sub('u3', 'u4'))};
  ${store(0, add(sub(scaled('0.25', 'u0'), 'p'), 'r'))}
  ${store(1, add('q', 's'))}
  ${store(2, add(sub(scaled(4, 'r'), 'p'), 'u5'))}`;

/** The second half of a tile's transform, along its rows: from columns of 6 values, 96 bytes apart, to the 36 planes. */
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
 * Tiles of 6×6 pixels beside each other, 4 channels at a time. Down the columns first, each of which is shared by up to
 * two tiles: 4 columns a tile and 2 more lie at `work`, 96 bytes each.
 */
const inputTilesToPlanes = `
export function inputTilesToPlanes(corner: usize, channels: i32, rowBytes: usize, tiles: i32, plane: usize, work: usize): void {
  const pixelBytes = <usize>channels * 4;
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
      ofTile += pixelBytes;
    }
    corner += 16;
    plane += 16;
  }
}`;

/** A tile of 4×4 pixels of an output's gradient, 4 channels at a time. */
const gradientTileToPlanes = `
export function gradientTileToPlanes(corner: usize, channels: i32, rowBytes: usize, plane: usize, work: usize): void {
  const pixelBytes = <usize>channels * 4;
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

/** Four channels of a tile from the 36 planes to work[column][6 rows]: the first half of the output transform. */
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
 * A tile's output: 4×4 pixels of all channels, a column at a time, each column after `finish` did something with its
 * four values y0 to y3. `sums` are two rows of channels that finish adds to.
 */
const planesToPixels = (name, parameters, offsetBase, begin, finish) => `
export function ${name}(plane: usize, pixelBytes: usize, rowBytes: usize, sums: usize, ${parameters}, work: usize): void {
  const secondSums = sums + pixelBytes;
  for (let channel: usize = 0; channel < pixelBytes; channel += 16) {
    ${planesToLines}
    let sum = v128.load(sums + channel);
    let second = v128.load(secondSums + channel);
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
    v128.store(sums + channel, sum);
    v128.store(secondSums + channel, second);
    plane += 16;
  }
}`;

const sumOfFour = (value) => add(add(value(0), value(1)), add(value(2), value(3)));

/** target: the address of the tile's corner. The second sums are of squares. */
const planesToOutput = planesToPixels(
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

/** corner: the offset of the tile's corner in all tensors. The second sums are of products with normalized - mean. */
const planesToGradient = (hasShortcut) =>
  planesToPixels(
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

/** A 3×3 filter at work (9 vectors, tap after tap) becomes 36 vectors at work + 432. */
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

/** 36 vectors of sums at work become the gradient of a 3×3 filter, 9 vectors at work + 576. */
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

/**
 * An image, `vectors` blocks of 4 channels of each pixel: a row's sums at a time are added to `sums`, two rows of channels.
 * @param tensors names of the addresses
 * @param begin constants of vector v
 * @param value what is summed in the first row, declared as `value`
 * @param second what is summed in the second
 */
const sumsOfImage = (name, vectors, tensors, parameters, { begin, value, second }) => `
export function ${name}${4 * vectors}(${[...tensors, ...parameters, 'sums'].map((address) => `${address}: usize`).join(', ')}, pixelBytes: usize, size: i32): void {
  const secondSums = sums + pixelBytes;
  const zero = f32x4.splat(0);
  ${each(vectors, begin)}
  for (let row = 0; row < size; row++) {
    ${each(vectors, (v) => `let sum${v} = zero; let second${v} = zero;`)}
    for (let pixel = 0; pixel < size; pixel++) {
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
    ${tensors.map((tensor) => `${tensor} += 2 * pixelBytes;`).join('\n')}
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
 * A row of pixels, `vectors` blocks of 4 channels of each: target = value(v), with the coefficients of these channels in
 * registers.
 * @param coefficients names of the rows of coefficients; vector v of one is its name and v
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

/** As many vectors as their coefficients leave room for, and one for what remains of the channels. */
const normalizedRows = [4, 1].flatMap((vectors) => [
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
const normalizedGradientRows = [2, 1].map((vectors) =>
  rowOfPixels('normalizeGradientRow', vectors, ['gradient', 'source'], ['scales', 'factors', 'addends'], (v) => {
    const scaledGradient = `f32x4.mul(v128.load(gradient, ${16 * v}), scales${v})`;
    const own = `f32x4.mul(v128.load(source, ${16 * v}), factors${v})`;
    return add(add(scaledGradient, own), `addends${v}`);
  }),
);

export const unrolledKernels = [
  ...normalizedRows,
  ...normalizedGradientRows,
  ...channelSums,
  multiplyRows(8),
  multiplyRows(4),
  convolveRow(8),
  convolveRow(4),
  sumProducts(8),
  sumProducts(4),
  inputTilesToPlanes,
  gradientTileToPlanes,
  planesToOutput,
  planesToGradient(false),
  planesToGradient(true),
  weightTransform,
  weightGradientTransform,
].join('\n');
