// A picture of any size as the network's 32×32 pixels. Pure arithmetic: the same on every machine.
import { pixelsPerPlane, recordBytes } from '../../shared/dataset/image-batch.js';
import { imageChannels, imageSize } from '../../shared/network/layout.js';
import type { Picture } from './decode.js';

export const fits = ['crop', 'squeeze'] as const;
/** How a picture that is no square becomes one: by its middle alone, or whole and out of proportion. */
export type Fit = (typeof fits)[number];

/** @returns a CIFAR-10 record: a label, which is 0 and says nothing, then the red, the green and the blue plane */
export function recordOf(picture: Picture, fit: Fit): Uint8Array {
  const { width, height } = picture;
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
    // Along the rows first: each row that is needed becomes 32 values.
    const narrowed = new Float64Array(height * imageSize);
    for (let row = rows[0].first; row < endRow; row++) {
      for (const [column, { first, weights }] of columns.entries()) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) {
          sum += weights[i] * picture.pixels[imageChannels * (row * width + first + i) + channel];
        }
        narrowed[row * imageSize + column] = sum;
      }
    }
    for (const [row, { first, weights }] of rows.entries()) {
      for (let column = 0; column < imageSize; column++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += weights[i] * narrowed[(first + i) * imageSize + column];
        const place = 1 + channel * pixelsPerPlane + row * imageSize + column;
        record[place] = Math.round(Math.min(255, Math.max(0, sum)));
      }
    }
  }
  return record;
}

/** What one of the 32 pixels is made of, along one axis. */
interface Weighted {
  /** The first source pixel. */
  first: number;
  /** Of the first one and those behind it. Their sum is 1. */
  weights: Float64Array;
}

/**
 * Bicubic, as wide as the step from pixel to pixel where the picture shrinks: every source pixel counts, so that fine
 * patterns become their mean and no new ones appear. Of 32 pixels each is exactly its own.
 * @param begin where the window begins, in source pixels
 * @param length its length
 * @param size source pixels there are
 */
function weightsOf(begin: number, length: number, size: number): Weighted[] {
  const scale = length / imageSize;
  const width = Math.max(1, scale);
  const reach = 2 * width;
  return Array.from({ length: imageSize }, (_, index) => {
    const centre = begin + (index + 0.5) * scale;
    const first = Math.max(0, Math.ceil(centre - reach - 0.5));
    const end = Math.min(size, Math.floor(centre + reach - 0.5) + 1);
    const weights = Float64Array.from({ length: end - first }, (_unused, i) =>
      bicubic((first + i + 0.5 - centre) / width),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Keys's kernel with a = -0.5. */
function bicubic(x: number): number {
  const distance = Math.abs(x);
  if (distance < 1) return (1.5 * distance - 2.5) * distance * distance + 1;
  if (distance < 2) return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2;
  return 0;
}
