// Sums, products, copies and padding. Unless noted, the tensors of a kernel have the same layout, their addresses are
// those of pixel (0, 0) of image 0, and `adds` is true to add to the existing values of the target, false to overwrite
// them. Padding channels stay 0 if they are 0 in the sources.
import { multiplyRow16, multiplyRow4, addMultipliedRow16, addMultipliedRow4, scaleRow16, scaleRow4 } from './unrolled';

/** target = a + b */
export function addTensors(
  a: usize,
  b: usize,
  target: usize,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const bytes = 4 * columns * depth;
  for (let image = first; image < first + count; image++) {
    for (let row = 0; row < rows; row++) {
      const begin = image * imageBytes + row * rowBytes;
      let from = a + begin;
      let other = b + begin;
      let to = target + begin;
      for (const end = from + bytes; from < end; from += 16, other += 16, to += 16) {
        v128.store(to, f32x4.add(v128.load(from), v128.load(other)));
      }
    }
  }
}

/** target = a × b */
export function multiplyTensors(
  a: usize,
  b: usize,
  target: usize,
  adds: bool,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const bytes = 4 * columns * depth;
  for (let image = first; image < first + count; image++) {
    for (let row = 0; row < rows; row++) {
      const begin = image * imageBytes + row * rowBytes;
      let from = a + begin;
      let other = b + begin;
      let to = target + begin;
      for (const end = from + bytes; from < end; from += 16, other += 16, to += 16) {
        const product = f32x4.mul(v128.load(from), v128.load(other));
        v128.store(to, adds ? f32x4.add(v128.load(to), product) : product);
      }
    }
  }
}

/**
 * target = source × factor of the channel
 * @param factors one value per channel, including padding channels
 * @param factorBytes number of bytes from the factors of one image to those of the next; 0 if all have the same
 */
export function multiplyChannels(
  source: usize,
  factors: usize,
  factorBytes: i32,
  target: usize,
  adds: bool,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * depth;
  for (let image = first; image < first + count; image++) {
    const own = factors + image * factorBytes;
    for (let row = 0; row < rows; row++) {
      const from = source + image * imageBytes + row * rowBytes;
      const to = target + image * imageBytes + row * rowBytes;
      let at = 0;
      for (; at + 64 <= pixelBytes; at += 64) {
        if (adds) addMultipliedRow16(from + at, to + at, own + at, pixelBytes, columns);
        else multiplyRow16(from + at, to + at, own + at, pixelBytes, columns);
      }
      for (; at < pixelBytes; at += 16) {
        if (adds) addMultipliedRow4(from + at, to + at, own + at, pixelBytes, columns);
        else multiplyRow4(from + at, to + at, own + at, pixelBytes, columns);
      }
    }
  }
}

/**
 * Gradient of multiplyChannels with respect to the factors: target = Σ over the pixels of an image of a × b, one value
 * per channel.
 * @param targetBytes number of bytes from the sums of one image to those of the next
 */
export function sumProductsOfChannels(
  a: usize,
  b: usize,
  target: usize,
  targetBytes: i32,
  adds: bool,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * depth;
  for (let image = first; image < first + count; image++) {
    for (let channel = 0; channel < pixelBytes; channel += 16) {
      let sum = f32x4.splat(0);
      for (let row = 0; row < rows; row++) {
        let at = image * imageBytes + row * rowBytes + channel;
        let rowSum = f32x4.splat(0);
        for (let x = 0; x < columns; x++, at += pixelBytes) {
          rowSum = f32x4.add(rowSum, f32x4.mul(v128.load(a + at), v128.load(b + at)));
        }
        sum = f32x4.add(sum, rowSum);
      }
      const to = target + image * targetBytes + channel;
      v128.store(to, adds ? f32x4.add(v128.load(to), sum) : sum);
    }
  }
}

/**
 * target = source × factor + offset. With the scales and shifts of a batch norm's coefficients, this normalizes.
 * @param factors one value per channel, including padding channels
 * @param offsets one value per channel, 0 for padding channels
 */
export function scaleChannels(
  source: usize,
  factors: usize,
  offsets: usize,
  target: usize,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * depth;
  for (let image = first; image < first + count; image++) {
    for (let row = 0; row < rows; row++) {
      const from = source + image * imageBytes + row * rowBytes;
      const to = target + image * imageBytes + row * rowBytes;
      let at = 0;
      for (; at + 64 <= pixelBytes; at += 64) {
        scaleRow16(from + at, to + at, factors + at, offsets + at, pixelBytes, columns);
      }
      for (; at < pixelBytes; at += 16) {
        scaleRow4(from + at, to + at, factors + at, offsets + at, pixelBytes, columns);
      }
    }
  }
}

/** target = 0 */
export function fillZeros(
  target: usize,
  imageBytes: i32,
  rowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  for (let image = first; image < first + count; image++) {
    for (let row = 0; row < rows; row++) {
      memory.fill(target + image * imageBytes + row * rowBytes, 0, 4 * columns * depth);
    }
  }
}

/**
 * target = source, for `channels` values of each pixel. The layouts may differ, and the addresses need not be aligned:
 * they may point to any pixel and channel.
 */
export function copyChannels(
  source: usize,
  sourceImageBytes: i32,
  sourceRowBytes: i32,
  sourcePixelBytes: i32,
  target: usize,
  targetImageBytes: i32,
  targetRowBytes: i32,
  targetPixelBytes: i32,
  adds: bool,
  rows: i32,
  columns: i32,
  channels: i32,
  first: i32,
  count: i32,
): void {
  const isContiguous = sourcePixelBytes == 4 * channels && targetPixelBytes == 4 * channels;
  const runs = isContiguous ? 1 : columns;
  const bytes = 4 * channels * (isContiguous ? columns : 1);
  for (let image = first; image < first + count; image++) {
    for (let row = 0; row < rows; row++) {
      let from = source + image * sourceImageBytes + row * sourceRowBytes;
      let to = target + image * targetImageBytes + row * targetRowBytes;
      for (let run = 0; run < runs; run++, from += sourcePixelBytes, to += targetPixelBytes) {
        if (adds) addValues(from, to, bytes);
        else copyValues(from, to, bytes);
      }
    }
  }
}

export function copyValues(from: usize, to: usize, bytes: usize): void {
  let at: usize = 0;
  for (; at + 16 <= bytes; at += 16) v128.store(to + at, v128.load(from + at));
  for (; at < bytes; at += 4) store<f32>(to + at, load<f32>(from + at));
}

export function addValues(from: usize, to: usize, bytes: usize): void {
  let at: usize = 0;
  for (; at + 16 <= bytes; at += 16) v128.store(to + at, f32x4.add(v128.load(to + at), v128.load(from + at)));
  for (; at < bytes; at += 4) store<f32>(to + at, load<f32>(to + at) + load<f32>(from + at));
}

/**
 * Copies an array of weights, [blocks][rows][columns], to [blocks][paddedRows][paddedColumns] and fills the rest with 0:
 * the other kernels read weights for whole vectors of channels.
 */
export function padWeights(
  source: usize,
  blocks: i32,
  rows: i32,
  columns: i32,
  target: usize,
  paddedRows: i32,
  paddedColumns: i32,
): void {
  memory.fill(target, 0, 4 * blocks * paddedRows * paddedColumns);
  for (let block = 0; block < blocks; block++) {
    for (let row = 0; row < rows; row++) {
      const to = target + 4 * (block * paddedRows + row) * paddedColumns;
      copyValues(source + 4 * (block * rows + row) * columns, to, 4 * columns);
    }
  }
}

/**
 * Adds up partial sums in order and stores them without padding: from [partial][blocks][paddedRows][paddedColumns] to
 * [blocks][rows][columns].
 * @param partialBytes number of bytes from one partial sum to the next
 */
export function addPartialSums(
  partialSums: usize,
  partialCount: i32,
  partialBytes: i32,
  blocks: i32,
  rows: i32,
  columns: i32,
  target: usize,
  paddedRows: i32,
  paddedColumns: i32,
): void {
  for (let block = 0; block < blocks; block++) {
    for (let row = 0; row < rows; row++) {
      let from = partialSums + 4 * (block * paddedRows + row) * paddedColumns;
      const to = target + 4 * (block * rows + row) * columns;
      copyValues(from, to, 4 * columns);
      for (let partial = 1; partial < partialCount; partial++) {
        from += partialBytes;
        addValues(from, to, 4 * columns);
      }
    }
  }
}
