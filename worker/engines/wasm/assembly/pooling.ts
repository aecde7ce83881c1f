// Pooling over windows, forward and backward. A window covers `windowRows` × `windowColumns` pixels of the source and
// begins at row y × strideRows - top and column x × strideColumns - left; pixels outside of the source do not count. A
// window as large as the source, with a vector as target, pools globally. Addresses are those of pixel (0, 0) of image 0.

/** target = the largest value of each window. */
export function maxPool(
  source: usize,
  sourceImageBytes: i32,
  sourceRowBytes: i32,
  height: i32,
  width: i32,
  windowRows: i32,
  windowColumns: i32,
  strideRows: i32,
  strideColumns: i32,
  top: i32,
  left: i32,
  target: usize,
  targetImageBytes: i32,
  targetRowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * depth;
  for (let image = first; image < first + count; image++) {
    for (let y = 0; y < rows; y++) {
      const beginY = max(y * strideRows - top, 0);
      const inRows = min(y * strideRows - top + windowRows, height) - beginY;
      let to = target + image * targetImageBytes + y * targetRowBytes;
      for (let x = 0; x < columns; x++) {
        const beginX = max(x * strideColumns - left, 0);
        const inColumns = min(x * strideColumns - left + windowColumns, width) - beginX;
        const from = source + image * sourceImageBytes + beginY * sourceRowBytes + beginX * pixelBytes;
        for (let at = 0; at < pixelBytes; at += 16, to += 16) {
          v128.store(to, largest(from + at, sourceRowBytes, pixelBytes, inRows, inColumns));
        }
      }
    }
  }
}

function largest(from: usize, rowBytes: i32, pixelBytes: i32, rows: i32, columns: i32): v128 {
  let result = v128.load(from);
  for (let row = 0; row < rows; row++, from += rowBytes) {
    let at = from;
    for (let column = 0; column < columns; column++, at += pixelBytes) result = f32x4.pmax(result, v128.load(at));
  }
  return result;
}

/**
 * Adds each gradient to the target at the window's largest value in the source, the first in row-major order.
 * @param gradient gradient with respect to the output of maxPool
 * @param source input of maxPool
 * @param target tensor with the layout of the source
 * @param adds true to add to the existing values of the target, false to overwrite them
 */
export function maxPoolGradient(
  source: usize,
  sourceImageBytes: i32,
  sourceRowBytes: i32,
  height: i32,
  width: i32,
  windowRows: i32,
  windowColumns: i32,
  strideRows: i32,
  strideColumns: i32,
  top: i32,
  left: i32,
  gradient: usize,
  gradientImageBytes: i32,
  gradientRowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  target: usize,
  adds: bool,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * depth;
  for (let image = first; image < first + count; image++) {
    if (!adds) clear(target + image * sourceImageBytes, sourceRowBytes, height, width * pixelBytes);
    for (let y = 0; y < rows; y++) {
      const beginY = max(y * strideRows - top, 0);
      const inRows = min(y * strideRows - top + windowRows, height) - beginY;
      let from = gradient + image * gradientImageBytes + y * gradientRowBytes;
      for (let x = 0; x < columns; x++) {
        const beginX = max(x * strideColumns - left, 0);
        const inColumns = min(x * strideColumns - left + windowColumns, width) - beginX;
        const begin = image * sourceImageBytes + beginY * sourceRowBytes + beginX * pixelBytes;
        for (let at = 0; at < pixelBytes; at += 16, from += 16) {
          const value = v128.load(from);
          addToLargest(value, source + begin + at, target + begin + at, sourceRowBytes, pixelBytes, inRows, inColumns);
        }
      }
    }
  }
}

function addToLargest(
  value: v128,
  source: usize,
  target: usize,
  rowBytes: i32,
  pixelBytes: i32,
  rows: i32,
  columns: i32,
): void {
  const wanted = largest(source, rowBytes, pixelBytes, rows, columns);
  /** Lanes whose largest value has not been found yet. */
  let open = i32x4.splat(-1);
  for (let row = 0; row < rows; row++, source += rowBytes, target += rowBytes) {
    for (let at = 0; at < columns * pixelBytes; at += pixelBytes) {
      const found = v128.and(open, f32x4.eq(v128.load(source + at), wanted));
      open = v128.andnot(open, found);
      v128.store(target + at, f32x4.add(v128.load(target + at), v128.and(value, found)));
    }
  }
}

function clear(image: usize, rowBytes: i32, rows: i32, bytes: i32): void {
  for (let row = 0; row < rows; row++) memory.fill(image + row * rowBytes, 0, bytes);
}

/** target = the average of each window, over its pixels inside of the source. */
export function averagePool(
  source: usize,
  sourceImageBytes: i32,
  sourceRowBytes: i32,
  height: i32,
  width: i32,
  windowRows: i32,
  windowColumns: i32,
  strideRows: i32,
  strideColumns: i32,
  top: i32,
  left: i32,
  target: usize,
  targetImageBytes: i32,
  targetRowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * depth;
  for (let image = first; image < first + count; image++) {
    for (let y = 0; y < rows; y++) {
      const beginY = max(y * strideRows - top, 0);
      const inRows = min(y * strideRows - top + windowRows, height) - beginY;
      let to = target + image * targetImageBytes + y * targetRowBytes;
      for (let x = 0; x < columns; x++) {
        const beginX = max(x * strideColumns - left, 0);
        const inColumns = min(x * strideColumns - left + windowColumns, width) - beginX;
        const from = source + image * sourceImageBytes + beginY * sourceRowBytes + beginX * pixelBytes;
        const pixels = f32x4.splat(<f32>(inRows * inColumns));
        for (let at = 0; at < pixelBytes; at += 16, to += 16) {
          v128.store(to, f32x4.div(sumOf(from + at, sourceRowBytes, pixelBytes, inRows, inColumns), pixels));
        }
      }
    }
  }
}

function sumOf(from: usize, rowBytes: i32, pixelBytes: i32, rows: i32, columns: i32): v128 {
  let sum = f32x4.splat(0);
  for (let row = 0; row < rows; row++, from += rowBytes) {
    let at = from;
    let rowSum = f32x4.splat(0);
    for (let column = 0; column < columns; column++, at += pixelBytes) rowSum = f32x4.add(rowSum, v128.load(at));
    sum = f32x4.add(sum, rowSum);
  }
  return sum;
}

/**
 * Adds an equal share of each gradient to all pixels of its window.
 * @param adds true to add to the existing values of the target, false to overwrite them
 */
export function averagePoolGradient(
  target: usize,
  targetImageBytes: i32,
  targetRowBytes: i32,
  height: i32,
  width: i32,
  windowRows: i32,
  windowColumns: i32,
  strideRows: i32,
  strideColumns: i32,
  top: i32,
  left: i32,
  gradient: usize,
  gradientImageBytes: i32,
  gradientRowBytes: i32,
  rows: i32,
  columns: i32,
  depth: i32,
  adds: bool,
  first: i32,
  count: i32,
): void {
  const pixelBytes = 4 * depth;
  for (let image = first; image < first + count; image++) {
    const pixels = target + image * targetImageBytes;
    if (!adds) clear(pixels, targetRowBytes, height, width * pixelBytes);
    for (let y = 0; y < rows; y++) {
      const beginY = max(y * strideRows - top, 0);
      const inRows = min(y * strideRows - top + windowRows, height) - beginY;
      let from = gradient + image * gradientImageBytes + y * gradientRowBytes;
      for (let x = 0; x < columns; x++) {
        const beginX = max(x * strideColumns - left, 0);
        const inColumns = min(x * strideColumns - left + windowColumns, width) - beginX;
        const to = pixels + beginY * targetRowBytes + beginX * pixelBytes;
        const divisor = f32x4.splat(<f32>(inRows * inColumns));
        for (let at = 0; at < pixelBytes; at += 16, from += 16) {
          addToAll(f32x4.div(v128.load(from), divisor), to + at, targetRowBytes, pixelBytes, inRows, inColumns);
        }
      }
    }
  }
}

function addToAll(value: v128, target: usize, rowBytes: i32, pixelBytes: i32, rows: i32, columns: i32): void {
  for (let row = 0; row < rows; row++, target += rowBytes) {
    for (let at = 0; at < columns * pixelBytes; at += pixelBytes) {
      v128.store(target + at, f32x4.add(v128.load(target + at), value));
    }
  }
}
