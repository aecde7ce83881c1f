// Random resized crops: a random window of an image, resized to the image's size. Pure. Only additions, multiplications
// and divisions, so every machine computes the same bytes.
import type { KeyedRandom } from '../../shared/random.js';

export interface Size {
  height: number;
  width: number;
}

export interface Window extends Size {
  top: number;
  left: number;
}

const attempts = 10;
/** Number of random numbers that randomWindow may use. */
export const randomWindowDraws = 2 * attempts + 2;

/**
 * Returns a random window, chosen as by PyTorch's RandomResizedCrop: its area is a share of the image from
 * `smallestShare` to 1, and its aspect ratio is from 3/4 to 4/3. After 10 windows that do not fit into the image, returns
 * the largest window in the center with such an aspect ratio.
 * @param position position of the first of the random numbers
 */
export function randomWindow(random: KeyedRandom, position: number, size: Size, smallestShare: number): Window {
  const { height, width } = size;
  const corner = position + 2 * attempts;
  for (let draw = position; draw < corner; draw += 2) {
    const area = height * width * (smallestShare + (1 - smallestShare) * random.uniformAt(draw));
    const aspectRatio = randomAspectRatio(random.uniformAt(draw + 1));
    const window = { height: roundedRoot(area / aspectRatio), width: roundedRoot(area * aspectRatio) };
    if (window.height < 1 || window.width < 1 || window.height > height || window.width > width) continue;
    const top = random.integerAt(corner, height - window.height + 1);
    const left = random.integerAt(corner + 1, width - window.width + 1);
    return { ...window, top, left };
  }
  return centralWindow(size);
}

/**
 * Returns an aspect ratio from 3/4 to 4/3. Its logarithm is almost uniformly distributed, as log((1 + t) / (1 - t)) is
 * 2t + 2t³/3 + …: the density varies by 2%. A ratio and its inverse are equally probable. The exponential function, which
 * would give a uniform distribution, differs between machines.
 */
function randomAspectRatio(uniform: number): number {
  const t = (2 * uniform - 1) / 7;
  return (1 + t) / (1 - t);
}

/** Returns the square root, rounded to an integer. Halves are rounded up. */
function roundedRoot(square: number): number {
  let root = 0;
  while ((2 * root + 1) * (2 * root + 1) <= 4 * square) root++;
  return root;
}

function centralWindow({ height, width }: Size): Window {
  const window = {
    height: Math.max(1, Math.min(height, Math.floor((4 * width) / 3))),
    width: Math.max(1, Math.min(width, Math.floor((4 * height) / 3))),
  };
  return { ...window, top: (height - window.height) >> 1, left: (width - window.width) >> 1 };
}

/**
 * For each row or column of the resized image, the two of the window that it lies between, and the weight of the second
 * in units of 1 / (2 × size). The first has the rest of the weight.
 */
interface Neighbors {
  first: Int32Array;
  second: Int32Array;
  weight: Int32Array;
}

/** Pixels are samples at the centers of their squares, and outside the window its edges are repeated. */
function neighborsOf(size: number, windowSize: number, start: number): Neighbors {
  const neighbors = { first: new Int32Array(size), second: new Int32Array(size), weight: new Int32Array(size) };
  for (let i = 0; i < size; i++) {
    // The position in the window, (i + 1/2) × windowSize / size - 1/2, in units of 1 / (2 × size).
    const position = Math.max(0, (2 * i + 1) * windowSize - size);
    const first = Math.floor(position / (2 * size));
    neighbors.first[i] = start + first;
    neighbors.second[i] = start + Math.min(first + 1, windowSize - 1);
    neighbors.weight[i] = position - first * 2 * size;
  }
  return neighbors;
}

/**
 * Writes a window of an image, resized to the image's size with bilinear interpolation. Halves are rounded up.
 * @param planes the image's planes, one after another
 * @param flipped whether to mirror the result
 */
export function resizeWindow(planes: Uint8Array, window: Window, flipped: boolean, size: Size, out: Uint8Array): void {
  const { height, width } = size;
  const rows = neighborsOf(height, window.height, 0);
  const columns = neighborsOf(width, window.width, window.left);
  if (flipped) for (const values of Object.values(columns) as Int32Array[]) values.reverse();
  const widened = new Int32Array(window.height * width);
  for (let plane = 0; plane < planes.length; plane += height * width) {
    widen(planes, plane + window.top * width, columns, widened);
    heighten(widened, rows, width, out.subarray(plane, plane + height * width));
  }
}

/** Resizes the rows of a window, in units of 1 / (2 × width). */
function widen(planes: Uint8Array, start: number, { first, second, weight }: Neighbors, out: Int32Array): void {
  const width = first.length;
  for (let row = 0; row < out.length; row += width) {
    const from = start + row;
    for (let column = 0; column < width; column++) {
      const left = planes[from + first[column]];
      const right = planes[from + second[column]];
      out[row + column] = left * 2 * width + (right - left) * weight[column];
    }
  }
}

/** Resizes the columns of widened rows, and rounds them to bytes. All values are integers, at most 255 × 448². */
function heighten(widened: Int32Array, { first, second, weight }: Neighbors, width: number, out: Uint8Array): void {
  const height = first.length;
  const unit = 4 * height * width;
  for (let row = 0; row < height; row++) {
    const [above, below] = [first[row] * width, second[row] * width];
    for (let column = 0; column < width; column++) {
      const [upper, lower] = [widened[above + column], widened[below + column]];
      const sum = upper * 2 * height + (lower - upper) * weight[row];
      out[row * width + column] = Math.trunc((sum + unit / 2) / unit);
    }
  }
}
