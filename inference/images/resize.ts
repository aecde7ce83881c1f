// Resizes an image to the size of the network's input, with the same result on every machine.
import type { RecordFormat } from '../../shared/dataset/record-format.js';
import type { ImageFit } from '../../shared/dataset/description.js';
import type { Image } from './decode.js';

/** Resizes an image and returns it as a record with label 0. */
export function recordOf(image: Image, fit: ImageFit, format: RecordFormat): Uint8Array {
  const window = fit === 'crop' ? centeredWindow(image, format) : { left: 0, top: 0, ...sizeOf(image) };
  const columns = weightsOf(window.left, window.width, image.width, format.width);
  const rows = weightsOf(window.top, window.height, image.height, format.height);
  const record = new Uint8Array(format.recordBytes);
  for (let channel = 0; channel < format.channels; channel++) {
    const values = format.channels === 1 ? luminanceOf(image) : channelOf(image, channel);
    const start = format.labelBytes + channel * format.planePixels;
    resizePlane(values, image, columns, rows, record.subarray(start, start + format.planePixels));
  }
  return record;
}

function sizeOf({ width, height }: Image) {
  return { width, height };
}

/** Returns the largest part of an image that is in its center and has the aspect ratio of the network's input. */
function centeredWindow({ width, height }: Image, target: Pick<RecordFormat, 'width' | 'height'>) {
  const isTooWide = width * target.height > height * target.width;
  const kept = isTooWide
    ? { width: (height * target.width) / target.height, height }
    : { width, height: (width * target.height) / target.width };
  return { left: (width - kept.width) / 2, top: (height - kept.height) / 2, ...kept };
}

/** Returns the values of a color: 0 is red, 1 green, 2 blue. */
function channelOf({ pixels }: Image, channel: number): Float64Array {
  return Float64Array.from({ length: pixels.length / 3 }, (_, pixel) => pixels[3 * pixel + channel]);
}

/** Returns the luminance as in ITU-R BT.601, which JPEG uses. */
function luminanceOf({ pixels }: Image): Float64Array {
  return Float64Array.from({ length: pixels.length / 3 }, (_, pixel) => {
    return 0.299 * pixels[3 * pixel] + 0.587 * pixels[3 * pixel + 1] + 0.114 * pixels[3 * pixel + 2];
  });
}

/** Resizes each required row first, then the columns. @param out receives the bytes, row by row */
function resizePlane(
  values: Float64Array,
  { width, height }: Image,
  columns: readonly SourcePixels[],
  rows: readonly SourcePixels[],
  out: Uint8Array,
): void {
  const narrowWidth = columns.length;
  const lastRow = rows[rows.length - 1];
  const endRow = lastRow.first + lastRow.weights.length;
  const narrowed = new Float64Array(height * narrowWidth);
  for (let row = rows[0].first; row < endRow; row++) {
    for (const [column, { first, weights }] of columns.entries()) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * values[row * width + first + i];
      narrowed[row * narrowWidth + column] = sum;
    }
  }
  for (const [row, { first, weights }] of rows.entries()) {
    for (let column = 0; column < narrowWidth; column++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * narrowed[(first + i) * narrowWidth + column];
      out[row * narrowWidth + column] = Math.round(Math.min(255, Math.max(0, sum)));
    }
  }
}

/** Source pixels that contribute to one of the output pixels along an axis. */
interface SourcePixels {
  first: number;
  /** Weights of the first and the subsequent source pixels. Their sum is 1. */
  weights: Float64Array;
}

/**
 * Returns the weights of bicubic interpolation for each output pixel. When an image shrinks, the kernel is widened so
 * that every source pixel contributes, which avoids aliasing. A window of the output's size stays unchanged.
 * @param begin start of the window along the axis, in source pixels
 * @param length number of source pixels in the window
 * @param size number of source pixels along the axis
 * @param outputSize number of output pixels along the axis
 */
function weightsOf(begin: number, length: number, size: number, outputSize: number): SourcePixels[] {
  const scale = length / outputSize;
  const width = Math.max(1, scale);
  const reach = 2 * width;
  return Array.from({ length: outputSize }, (_, index) => {
    const center = begin + (index + 0.5) * scale;
    const first = Math.max(0, Math.ceil(center - reach - 0.5));
    const end = Math.min(size, Math.floor(center + reach - 0.5) + 1);
    const weights = Float64Array.from({ length: end - first }, (_unused, i) =>
      bicubic((first + i + 0.5 - center) / width),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Cubic convolution kernel (Keys 1981) with a = -0.5. */
function bicubic(x: number): number {
  const distance = Math.abs(x);
  if (distance < 1) return (1.5 * distance - 2.5) * distance * distance + 1;
  if (distance < 2) return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2;
  return 0;
}
