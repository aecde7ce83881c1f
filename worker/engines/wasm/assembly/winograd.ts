// Winograd's F(4×4, 3×3) for 3×3 layers with stride 1: forward pass, input gradient and filter gradient. Tiles of 6×6 input pixels and 4×4 output pixels are transformed into 36 planes,
// [tile][channel], a block of tiles at a time; in each plane the convolution is a matrix product. The distance between
// the planes of a block, `planeBytes`, is a constant (2048 values and a gap), so the transforms can address all planes
// with constant offsets.
import {
  gradientTileToPlanes,
  inputTilesToPlanes,
  multiplyRows4,
  multiplyRows8,
  planesToBiasedOutput,
  planesToGradient,
  planesToGradientWithShortcut,
  planesToMaskedGradient,
  planesToMaskedGradientWithShortcut,
  planesToOutput,
  transformWeightSums,
} from './unrolled';
import { filterSumAt, sumAllProducts } from './direct-convolution';
import { imageAt, rowBytesOf } from './tensor';

const planeValues: i32 = 2048;
const planeBytes: i32 = 4 * planeValues + 64;
/** Offsets in a thread's scratch memory: input planes, product planes, and 34 columns of 6 vectors for a transform. */
const productOffset: i32 = 36 * planeBytes;
const workOffset: i32 = 72 * planeBytes;

/** Returns the number of tiles in a block: the largest multiple of 4 that fits into the planes. */
function tilesOfBlock(inputs: i32, outputs: i32): i32 {
  return (planeValues / max(inputs, outputs)) & ~3;
}

/**
 * Returns the number of bytes from one plane of a filter gradient's sums to the next. The gap places the planes in
 * different cache sets.
 */
function sumPlaneBytes(inputs: i32, outputs: i32): i32 {
  return inputs * outputs * 4 + 64;
}

/** Returns the address of a tile's upper-left pixel. Tiles are numbered row by row, then image by image. */
function tileAt(tensor: usize, tile: i32, size: i32, channels: i32): usize {
  const side = size >> 2;
  const inImage = tile % (side * side);
  const image = imageAt(tensor, tile / (side * side), size, channels);
  return image + 4 * (inImage / side) * rowBytesOf(size, channels) + 16 * (inImage % side) * channels;
}

/** Multiplies each input plane of a block by its weights. */
function multiplyPlanes(scratch: usize, weights: usize, inputs: i32, outputs: i32, tiles: i32): void {
  const rowBytes = 4 * inputs;
  const productBytes = 4 * outputs;
  for (let plane = 0; plane < 36; plane++) {
    const from = scratch + plane * planeBytes;
    const to = from + productOffset;
    let weight = weights + plane * inputs * outputs * 4;
    let output = 0;
    for (; output + 8 <= outputs; output += 8) {
      multiplyRows8(from, rowBytes, weight, inputs, to + 4 * output, productBytes, tiles);
      weight += 32 * inputs;
    }
    if (output < outputs) multiplyRows4(from, rowBytes, weight, inputs, to + 4 * output, productBytes, tiles);
  }
}

/** Computes the input planes of a block, a row of tiles at a time. */
function fillPlanes(tensor: usize, size: i32, channels: i32, firstTile: i32, tiles: i32, scratch: usize): void {
  const rowBytes = rowBytesOf(size, channels);
  const side = size >> 2;
  const end = firstTile + tiles;
  let plane = scratch;
  let tile = firstTile;
  while (tile < end) {
    const inRow = min(side - (tile % side), end - tile);
    const corner = tileAt(tensor, tile, size, channels) - rowBytes - 4 * channels;
    inputTilesToPlanes(corner, channels, rowBytes, inRow, plane, scratch + workOffset);
    plane += 4 * inRow * channels;
    tile += inRow;
  }
}

/**
 * Convolves source with the filters and stores the result in target.
 * @param bias 0 to compute sums; otherwise the address of one value per output channel to add
 * @param sums two rows of one value per channel for batch norm: the sums of the values and of their squares
 * @param continues true to add to the existing sums, false to overwrite them; also in the functions below
 */
export function winogradForward(
  source: usize,
  weights: usize,
  bias: usize,
  target: usize,
  sums: usize,
  continues: bool,
  size: i32,
  inputs: i32,
  outputs: i32,
  first: i32,
  count: i32,
  scratch: usize,
): void {
  const tilesOfImage = (size * size) >> 4;
  const block = tilesOfBlock(inputs, outputs);
  const endTile = (first + count) * tilesOfImage;
  const rowBytes = rowBytesOf(size, outputs);
  const pixelBytes = 4 * outputs;
  const work = scratch + workOffset;
  if (!continues && !bias) memory.fill(sums, 0, 2 * pixelBytes);
  for (let firstTile = first * tilesOfImage; firstTile < endTile; firstTile += block) {
    const tiles = min(block, endTile - firstTile);
    fillPlanes(source, size, inputs, firstTile, tiles, scratch);
    multiplyPlanes(scratch, weights, inputs, outputs, tiles);
    for (let tile = 0; tile < tiles; tile++) {
      const plane = scratch + productOffset + tile * pixelBytes;
      const corner = tileAt(target, firstTile + tile, size, outputs);
      if (bias) planesToBiasedOutput(plane, pixelBytes, rowBytes, 0, corner, bias, work);
      else planesToOutput(plane, pixelBytes, rowBytes, sums, corner, work);
    }
  }
}

/**
 * target = input gradient of the convolution + shortcut.
 *
 * With an activation, the target becomes 0 where that is not positive. This is the gradient with respect to the output of
 * the batch norm that precedes the activation. Then also computes two rows of sums per channel for that batch norm: of
 * target, and of target × (normalized - mean).
 * @param gradient gradient with respect to the convolution's output
 * @param outputs number of channels of the gradient
 * @param inputs number of channels of the target
 * @param shortcut 0, or a gradient with the shape of the target, which may be the target itself
 * @param activation 0, or the input of the convolution, which is the output of a ReLU
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
  size: i32,
  inputs: i32,
  outputs: i32,
  first: i32,
  count: i32,
  scratch: usize,
): void {
  const tilesOfImage = (size * size) >> 4;
  const block = tilesOfBlock(inputs, outputs);
  const endTile = (first + count) * tilesOfImage;
  const row = rowBytesOf(size, inputs);
  const pixel = 4 * inputs;
  const work = scratch + workOffset;
  if (!continues && activation) memory.fill(sums, 0, 2 * pixel);
  for (let firstTile = first * tilesOfImage; firstTile < endTile; firstTile += block) {
    const tiles = min(block, endTile - firstTile);
    fillPlanes(gradient, size, outputs, firstTile, tiles, scratch);
    multiplyPlanes(scratch, weights, outputs, inputs, tiles);
    for (let tile = 0; tile < tiles; tile++) {
      const from = scratch + productOffset + tile * pixel;
      const at = tileAt(0, firstTile + tile, size, inputs);
      const mask = activation;
      if (!mask) {
        if (shortcut) planesToGradientWithShortcut(from, pixel, row, 0, at, target, shortcut, work);
        else planesToGradient(from, pixel, row, 0, at, target, shortcut, work);
      } else if (shortcut) {
        planesToMaskedGradientWithShortcut(from, pixel, row, sums, at, target, shortcut, mask, normalized, means, work);
      } else {
        planesToMaskedGradient(from, pixel, row, sums, at, target, shortcut, mask, normalized, means, work);
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
  size: i32,
  inputs: i32,
  outputs: i32,
  first: i32,
  count: i32,
  scratch: usize,
): void {
  const tilesOfImage = (size * size) >> 4;
  const block = tilesOfBlock(inputs, outputs);
  const firstOfAll = first * tilesOfImage;
  const endTile = (first + count) * tilesOfImage;
  const rowBytes = rowBytesOf(size, outputs);
  const inputBytes = 4 * inputs;
  const outputBytes = 4 * outputs;
  for (let firstTile = firstOfAll; firstTile < endTile; firstTile += block) {
    const tiles = min(block, endTile - firstTile);
    const adds = continues || firstTile > firstOfAll;
    fillPlanes(source, size, inputs, firstTile, tiles, scratch);
    for (let tile = 0; tile < tiles; tile++) {
      const corner = tileAt(gradient, firstTile + tile, size, outputs);
      const plane = scratch + productOffset + tile * outputBytes;
      gradientTileToPlanes(corner, outputs, rowBytes, plane, scratch + workOffset);
    }
    for (let plane = 0; plane < 36; plane++) {
      const from = scratch + plane * planeBytes;
      const other = from + productOffset;
      const to = sums + plane * sumPlaneBytes(inputs, outputs);
      sumAllProducts(from, inputBytes, 0, inputs, other, outputBytes, 0, outputs, 1, tiles, to, adds);
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
