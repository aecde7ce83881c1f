// Resizes an image to 32×32 pixels, the network's input size, with the same result on every machine.
import { pixelsPerPlane, recordBytes } from '../../shared/dataset/image-batch.js';
import { imageChannels, imageSize } from '../../shared/network/layout.js';
import type { Image } from './decode.js';

export const imageFits = ['crop', 'squeeze'] as const;
/** How to make an image square: crop to the center, or change the aspect ratio. */
export type ImageFit = (typeof imageFits)[number];

/** Resizes an image and returns it as a CIFAR-10 record: label 0, then the red, green and blue planes. */
export function recordOf(image: Image, fit: ImageFit): Uint8Array {
  const { width, height } = image;
  const side = Math.min(width, height);
  const window =
    fit === 'crop'
      ? { left: (width - side) / 2, top: (height - side) / 2, width: side, height: side }
      : { left: 0, top: 0, width, height };
  const columns = weightsOf(window.left, window.width, width);
  const rows = weightsOf(window.top, window.height, height);
  const lastRow = rows[imageSize - 1];
  const endRow = lastRow.first + lastRow.weights.length;
  const record = new Uint8Array(recordBytes);
  for (let channel = 0; channel < imageChannels; channel++) {
    // Resizes each required row to 32 values first, then the columns.
    const narrowed = new Float64Array(height * imageSize);
    for (let row = rows[0].first; row < endRow; row++) {
      for (const [column, { first, weights }] of columns.entries()) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) {
          sum += weights[i] * image.pixels[imageChannels * (row * width + first + i) + channel];
        }
        narrowed[row * imageSize + column] = sum;
      }
    }
    for (const [row, { first, weights }] of rows.entries()) {
      for (let column = 0; column < imageSize; column++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += weights[i] * narrowed[(first + i) * imageSize + column];
        record[1 + channel * pixelsPerPlane + row * imageSize + column] = Math.round(Math.min(255, Math.max(0, sum)));
      }
    }
  }
  return record;
}

/** Source pixels that contribute to one of the 32 output pixels along an axis. */
interface SourcePixels {
  first: number;
  /** Weights of the first and the subsequent source pixels. Their sum is 1. */
  weights: Float64Array;
}

/**
 * Returns the weights of bicubic interpolation for each output pixel. When an image shrinks, the kernel is widened so
 * that every source pixel contributes, which avoids aliasing. A window of 32 pixels stays unchanged.
 * @param begin start of the window along the axis, in source pixels
 * @param length number of source pixels in the window
 * @param size number of source pixels along the axis
 */
function weightsOf(begin: number, length: number, size: number): SourcePixels[] {
  const scale = length / imageSize;
  const width = Math.max(1, scale);
  const reach = 2 * width;
  return Array.from({ length: imageSize }, (_, index) => {
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
