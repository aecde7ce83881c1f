// Winograd's F(4×4, 3×3) for 3×3 layers with stride 1: forward pass, input gradient and filter gradient. Tiles of 6×6
// input pixels and 4×4 output pixels are transformed into 36 planes, [tile][channel], a block of tiles at a time; in each
// plane the convolution is a matrix product. The distance between the planes of a block, `planeBytes`, is a constant (2048
// values and a gap), so the transforms can address all planes with constant offsets.
import {
  gradientTileToPlanes,
  inputTilesToPlanes,
  multiplyRows4,
  multiplyRows8,
  planesToGradient,
  planesToGradientWithShortcut,
  planesToOutput,
  planesToTarget,
  transformWeightSums,
} from './unrolled';
import { filterSumAt, sumAllProducts } from './direct-convolution';
import { addValues, copyValues } from './elementwise';
import { columnsFrom, rowBytesOf, rowsFrom, tileAt, tilesAlong } from './tensor';

const planeValues: i32 = 2048;
const planeBytes: i32 = 4 * planeValues + 64;
/** Offsets in a thread's scratch memory: input planes, product planes, and 34 columns of 6 vectors for a transform. */
const productOffset: i32 = 36 * planeBytes;
const workOffset: i32 = 72 * planeBytes;

/** Returns the number of tiles in a block: the largest multiple of 4 that fits into the planes. */
function tilesOfBlock(channels: i32): i32 {
  return (planeValues / channels) & ~3;
}

/**
 * Returns the number of bytes from one plane of a filter gradient's sums to the next. The gap places the planes in
 * different cache sets.
 */
function sumPlaneBytes(inputs: i32, outputs: i32): i32 {
  return inputs * outputs * 4 + 64;
}

/** Returns the address, in scratch memory, of copies of pixels in tiles that are partly outside of their image. */
function stripAt(scratch: usize, columns: i32): usize {
  return scratch + workOffset + 96 * (4 * tilesAlong(columns) + 2);
}

/** Copies rows of pixels, four channels of each, and fills the strip's other pixels with zeros. */
function fillStrip(
  strip: usize,
  stripRows: i32,
  stripColumns: i32,
  source: usize,
  pixelBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
): void {
  memory.fill(strip, 0, 16 * stripRows * stripColumns);
  for (let row = 0; row < rows; row++) {
    let from = source + row * rowBytes;
    let to = strip + 16 * row * stripColumns;
    for (let column = 0; column < columns; column++, from += pixelBytes, to += 16) v128.store(to, v128.load(from));
  }
}

/** Multiplies each input plane of a block by its weights. */
function multiplyPlanes(scratch: usize, weights: usize, inputs: i32, outputs: i32, tiles: i32): void {
  const rowBytes = 4 * inputs;
  const targetRowBytes = 4 * outputs;
  for (let plane = 0; plane < 36; plane++) {
    const from = scratch + plane * planeBytes;
    const to = from + productOffset;
    let weight = weights + plane * inputs * outputs * 4;
    let output = 0;
    for (; output + 8 <= outputs; output += 8) {
      multiplyRows8(from, rowBytes, weight, inputs, to + 4 * output, targetRowBytes, tiles);
      weight += 32 * inputs;
    }
    if (output < outputs) multiplyRows4(from, rowBytes, weight, inputs, to + 4 * output, targetRowBytes, tiles);
  }
}

/** Computes the input planes of a block, a row of tiles at a time. */
function fillPlanes(
  tensor: usize,
  rows: i32,
  columns: i32,
  channels: i32,
  firstTile: i32,
  tiles: i32,
  scratch: usize,
): void {
  const rowBytes = rowBytesOf(columns, channels);
  const pixelBytes = 4 * channels;
  const across = tilesAlong(columns);
  const end = firstTile + tiles;
  const work = scratch + workOffset;
  let plane = scratch;
  let tile = firstTile;
  while (tile < end) {
    const inRow = min(across - (tile % across), end - tile);
    const corner = tileAt(tensor, tile, rows, columns, channels) - rowBytes - pixelBytes;
    // Tiles overlap by two pixels, of which the last may be the border.
    const validRows = min(6, rowsFrom(tile, rows, columns) + 2);
    const stripColumns = 4 * inRow + 2;
    const validColumns = min(stripColumns, columnsFrom(tile, columns) + 2);
    if (validRows == 6 && validColumns == stripColumns) {
      inputTilesToPlanes(corner, pixelBytes, rowBytes, channels, inRow, plane, pixelBytes, work);
    } else {
      const strip = stripAt(scratch, columns);
      for (let at = 0; at < pixelBytes; at += 16) {
        fillStrip(strip, 6, stripColumns, corner + at, pixelBytes, rowBytes, validRows, validColumns);
        inputTilesToPlanes(strip, 16, 16 * stripColumns, 4, inRow, plane + at, pixelBytes, work);
      }
    }
    plane += inRow * pixelBytes;
    tile += inRow;
  }
}

/**
 * Convolves source with the filters: the forward pass, or, with the turned filters and the gradient as source, the input
 * gradient. Images have a one-pixel border.
 * @param bias 0, or the address of one value per output channel, 0 for padding channels
 * @param adds true to add to the existing values of the target, false to overwrite them
 * @param inputs number of channels of the source: a multiple of 4, at most 512, as for the target
 */
export function winogradConvolve(
  source: usize,
  weights: usize,
  bias: usize,
  target: usize,
  adds: bool,
  rows: i32,
  columns: i32,
  inputs: i32,
  outputs: i32,
  first: i32,
  count: i32,
  scratch: usize,
): void {
  const tilesOfImage = tilesAlong(rows) * tilesAlong(columns);
  const block = tilesOfBlock(max(inputs, outputs));
  const endTile = (first + count) * tilesOfImage;
  const pixelBytes = 4 * outputs;
  for (let firstTile = first * tilesOfImage; firstTile < endTile; firstTile += block) {
    const tiles = min(block, endTile - firstTile);
    fillPlanes(source, rows, columns, inputs, firstTile, tiles, scratch);
    multiplyPlanes(scratch, weights, inputs, outputs, tiles);
    for (let tile = 0; tile < tiles; tile++) {
      const plane = scratch + productOffset + tile * pixelBytes;
      storeTile(plane, bias, target, adds, rows, columns, outputs, firstTile + tile, scratch);
    }
  }
}

/** Computes the pixels of a tile. Those of a tile that is partly outside of its image pass through scratch memory. */
function storeTile(
  plane: usize,
  bias: usize,
  target: usize,
  adds: bool,
  rows: i32,
  columns: i32,
  outputs: i32,
  tile: i32,
  scratch: usize,
): void {
  const work = scratch + workOffset;
  const pixelBytes = 4 * outputs;
  const rowBytes = rowBytesOf(columns, outputs);
  const corner = tileAt(target, tile, rows, columns, outputs);
  const ownRows = min(4, rowsFrom(tile, rows, columns));
  const ownColumns = min(4, columnsFrom(tile, columns));
  if (ownRows == 4 && ownColumns == 4) {
    planesToTarget(plane, pixelBytes, rowBytes, bias, adds, corner, work);
  } else {
    // The input planes are no longer needed.
    planesToTarget(plane, pixelBytes, 4 * pixelBytes, bias, false, scratch, work);
    for (let row = 0; row < ownRows; row++) {
      const from = scratch + 4 * row * pixelBytes;
      const to = corner + row * rowBytes;
      if (adds) addValues(from, to, ownColumns * pixelBytes);
      else copyValues(from, to, ownColumns * pixelBytes);
    }
  }
}

/**
 * Convolves source with the filters and computes sums for the batch norm that follows. The numbers of
 * rows and columns are multiples of 4.
 * @param sums two rows of one value per channel: the sums of the values and of their squares
 * @param continues true to add to the existing sums, false to overwrite them; also in the functions below
 */
export function winogradForward(
  source: usize,
  weights: usize,
  target: usize,
  sums: usize,
  continues: bool,
  rows: i32,
  columns: i32,
  inputs: i32,
  outputs: i32,
  first: i32,
  count: i32,
  scratch: usize,
): void {
  const tilesOfImage = (rows * columns) >> 4;
  const block = tilesOfBlock(max(inputs, outputs));
  const endTile = (first + count) * tilesOfImage;
  const rowBytes = rowBytesOf(columns, outputs);
  const pixelBytes = 4 * outputs;
  const work = scratch + workOffset;
  if (!continues) memory.fill(sums, 0, 2 * pixelBytes);
  for (let firstTile = first * tilesOfImage; firstTile < endTile; firstTile += block) {
    const tiles = min(block, endTile - firstTile);
    fillPlanes(source, rows, columns, inputs, firstTile, tiles, scratch);
    multiplyPlanes(scratch, weights, inputs, outputs, tiles);
    for (let tile = 0; tile < tiles; tile++) {
      const plane = scratch + productOffset + tile * pixelBytes;
      const corner = tileAt(target, firstTile + tile, rows, columns, outputs);
      planesToOutput(plane, pixelBytes, rowBytes, sums, corner, work);
    }
  }
}

/**
 * target = (input gradient of the convolution + shortcut) where the activation is positive, else 0. This is the
 * gradient with respect to the output of the batch norm that precedes the activation. Also computes two rows of sums
 * per channel for that batch norm: of target, and of target × (normalized - mean). Rows and columns
 * are multiples of 4.
 * @param gradient gradient with respect to the convolution's output
 * @param inputs number of channels of the convolution's input and of the target
 * @param outputs number of channels of the convolution's output and of the gradient
 * @param shortcut 0, or a gradient with the shape of the target, which may be the target itself
 * @param normalized input of the batch norm
 * @param means address of the batch norm's means
 */
export function winogradInputGradient(
  gradient: usize,
  weights: usize,
  target: usize,
  shortcut: usize,
  activation: usize,
  normalized: usize,
  means: usize,
  sums: usize,
  continues: bool,
  rows: i32,
  columns: i32,
  inputs: i32,
  outputs: i32,
  first: i32,
  count: i32,
  scratch: usize,
): void {
  const tilesOfImage = (rows * columns) >> 4;
  const block = tilesOfBlock(max(inputs, outputs));
  const endTile = (first + count) * tilesOfImage;
  const row = rowBytesOf(columns, inputs);
  const pixel = 4 * inputs;
  const work = scratch + workOffset;
  const mask = activation;
  if (!continues) memory.fill(sums, 0, 2 * pixel);
  for (let firstTile = first * tilesOfImage; firstTile < endTile; firstTile += block) {
    const tiles = min(block, endTile - firstTile);
    fillPlanes(gradient, rows, columns, outputs, firstTile, tiles, scratch);
    multiplyPlanes(scratch, weights, outputs, inputs, tiles);
    for (let tile = 0; tile < tiles; tile++) {
      const from = scratch + productOffset + tile * pixel;
      const at = tileAt(0, firstTile + tile, rows, columns, inputs);
      if (shortcut) {
        planesToGradientWithShortcut(from, pixel, row, sums, at, target, shortcut, mask, normalized, means, work);
      } else {
        planesToGradient(from, pixel, row, sums, at, target, shortcut, mask, normalized, means, work);
      }
    }
  }
}

/**
 * sums[plane] = Σ over the tiles of the images of source[plane, tile] × gradient[plane, tile], for every pair of a
 * source channel and a gradient channel. See filterSumAt for the layout of a plane.
 */
export function winogradFilterGradient(
  source: usize,
  gradient: usize,
  sums: usize,
  continues: bool,
  rows: i32,
  columns: i32,
  inputs: i32,
  outputs: i32,
  first: i32,
  count: i32,
  scratch: usize,
): void {
  const tilesOfImage = tilesAlong(rows) * tilesAlong(columns);
  const block = tilesOfBlock(max(inputs, outputs));
  const firstOfAll = first * tilesOfImage;
  const endTile = (first + count) * tilesOfImage;
  for (let firstTile = firstOfAll; firstTile < endTile; firstTile += block) {
    const tiles = min(block, endTile - firstTile);
    const adds = continues || firstTile > firstOfAll;
    fillPlanes(source, rows, columns, inputs, firstTile, tiles, scratch);
    for (let tile = 0; tile < tiles; tile++) {
      fillGradientPlanes(gradient, rows, columns, outputs, firstTile + tile, tile, scratch);
    }
    for (let plane = 0; plane < 36; plane++) {
      const from = scratch + plane * planeBytes;
      const other = from + productOffset;
      const to = sums + plane * sumPlaneBytes(inputs, outputs);
      sumAllProducts(from, 4 * inputs, 0, 0, inputs, other, 4 * outputs, 0, 0, outputs, 1, 1, tiles, to, adds);
    }
  }
}

/** Computes the gradient planes of a tile. @param inBlock index of the tile in its block */
function fillGradientPlanes(
  gradient: usize,
  rows: i32,
  columns: i32,
  channels: i32,
  tile: i32,
  inBlock: i32,
  scratch: usize,
): void {
  const work = scratch + workOffset;
  const pixelBytes = 4 * channels;
  const rowBytes = rowBytesOf(columns, channels);
  const corner = tileAt(gradient, tile, rows, columns, channels);
  const plane = scratch + productOffset + inBlock * pixelBytes;
  const ownRows = min(4, rowsFrom(tile, rows, columns));
  const ownColumns = min(4, columnsFrom(tile, columns));
  if (ownRows == 4 && ownColumns == 4) {
    gradientTileToPlanes(corner, pixelBytes, rowBytes, channels, plane, work);
  } else {
    const strip = stripAt(scratch, columns);
    for (let at = 0; at < pixelBytes; at += 16) {
      fillStrip(strip, 4, 4, corner + at, pixelBytes, rowBytes, ownRows, ownColumns);
      gradientTileToPlanes(strip, 16, 64, 4, plane + at, work);
    }
  }
}

/**
 * Adds up the partial sums in order and transforms them into the filter gradient, [3][3][inputs][outputs]. `first` and
 * `count` select a range of input channels.
 */
export function winogradFilterGradientEnd(
  partialSums: usize,
  partialCount: i32,
  target: usize,
  inputs: i32,
  outputs: i32,
  first: i32,
  count: i32,
  scratch: usize,
): void {
  const work = scratch + workOffset;
  const planeOfSums = sumPlaneBytes(inputs, outputs);
  const tapBytes = inputs * outputs * 4;
  for (let input = first; input < first + count; input++) {
    for (let output = 0; output < outputs; output += 4) {
      const at = partialSums + filterSumAt(input, output, outputs);
      for (let plane = 0; plane < 36; plane++) {
        let from = at + plane * planeOfSums;
        let sum = v128.load(from);
        for (let partial = 1; partial < partialCount; partial++) {
          from += 36 * planeOfSums;
          sum = f32x4.add(sum, v128.load(from));
        }
        v128.store(work + 16 * plane, sum);
      }
      transformWeightSums(work);
      const to = target + 4 * (input * outputs + output);
      for (let tap = 0; tap < 9; tap++) v128.store(to + tap * tapBytes, v128.load(work + 16 * tap, 576));
    }
  }
}
