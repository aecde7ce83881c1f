// Whitening kernels: a convolution with one decorrelates the values of a patch (Jordan 2024, arXiv 2404.00498, section
// 3.2). Measured on the training images in float64, with operations that round alike on every machine. Pure.
import { inputTransformOf, hasPixelMeans } from '../../shared/dataset/input-transform.js';
import type { Preprocessing } from '../../shared/dataset/image-batch.js';
import type { RecordFormat } from '../../shared/dataset/record-format.js';
import type { ChannelOrder, Pair } from '../../shared/network/graph.js';
import { eigenvectorsOf } from './eigenvectors.js';

/** Number of images of 32×32 pixels to measure; of other images, as many as have the same number of pixels. */
const maxImages = 5000;
const maxPixels = maxImages * 32 * 32;
/** Added to each eigenvalue, so that directions that hardly occur are not amplified without limit. */
const epsilon = 5e-4;

/** Training images, not augmented. */
export interface TrainingImages {
  records: Uint8Array;
  format: RecordFormat;
  preprocessing: Preprocessing;
}

/** Returns the number of images that a whitening kernel is measured on. */
export function whiteningImages({ height, width }: Pick<RecordFormat, 'height' | 'width'>): number {
  return Math.max(1, Math.min(maxImages, Math.floor(maxPixels / (height * width))));
}

/**
 * Returns a kernel [height, width, channels, filters]. The first half of the filters are the eigenvectors of the second
 * moments of the patches, from the largest eigenvalue to the smallest, each divided by the square root of its
 * eigenvalue. The other half are their negatives.
 */
export function whiteningKernel(
  images: TrainingImages,
  kernelSize: Pair,
  filters: number,
  order: ChannelOrder,
): Float32Array {
  const size = kernelSize[0] * kernelSize[1] * images.format.channels;
  const { values, vectors } = eigenvectorsOf(secondMoments(images, kernelSize, order), size);
  const kernel = new Float32Array(size * filters);
  for (let filter = 0; filter < filters / 2; filter++) {
    const scale = 1 / Math.sqrt(values[filter] + epsilon);
    for (let i = 0; i < size; i++) {
      const value = vectors[filter][i] * scale;
      kernel[i * filters + filter] = value;
      kernel[i * filters + filters / 2 + filter] = -value;
    }
  }
  return kernel;
}

/** Returns the mean product of each pair of values in a patch, as a square matrix. */
function secondMoments(images: TrainingImages, [rows, columns]: Pair, order: ChannelOrder): Float64Array {
  const { format, records } = images;
  const { height, width, channels, recordBytes } = format;
  const size = rows * columns * channels;
  const sums = new Float64Array(size * size);
  const patch = new Float64Array(size);
  const count = Math.min(whiteningImages(format), records.length / recordBytes);
  for (let image = 0; image < count; image++) {
    const input = preprocessed(images, image, order);
    for (let top = 0; top <= height - rows; top++) {
      for (let left = 0; left <= width - columns; left++) {
        for (let row = 0; row < rows; row++) {
          const start = ((top + row) * width + left) * channels;
          patch.set(input.subarray(start, start + columns * channels), row * columns * channels);
        }
        for (let i = 0; i < size; i++) {
          for (let j = i; j < size; j++) sums[i * size + j] += patch[i] * patch[j];
        }
      }
    }
  }
  const patches = count * (height - rows + 1) * (width - columns + 1);
  return sums.map((_, at) => {
    const [i, j] = [Math.floor(at / size), at % size];
    return sums[Math.min(i, j) * size + Math.max(i, j)] / patches;
  });
}

/** Returns an image as the network sees it, [row, column, channel]. */
function preprocessed({ records, format, preprocessing }: TrainingImages, image: number, order: ChannelOrder) {
  const { channels, planePixels, imageValues, recordBytes, labelBytes } = format;
  const transform = inputTransformOf(preprocessing, channels);
  const isPerPixel = hasPixelMeans(transform);
  const start = image * recordBytes + labelBytes;
  const input = new Float64Array(imageValues);
  for (let channel = 0; channel < channels; channel++) {
    const plane = order === 'bgr' ? channels - 1 - channel : channel;
    for (let pixel = 0; pixel < planePixels; pixel++) {
      const mean = transform.subtract[isPerPixel ? pixel * channels + plane : plane];
      input[pixel * channels + channel] =
        (records[start + plane * planePixels + pixel] - mean) / transform.divide[plane];
    }
  }
  return input;
}
