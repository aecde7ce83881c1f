// Computes the statistics of the training images that preprocessing needs. This is done once, before the first step.
// Pure. Sums of bytes are integers and therefore exact in any order; each mean and standard deviation is rounded to
// float32 once.
import type { Preprocessing, PreprocessingName } from '../../shared/dataset/image-batch.js';
import type { RecordFormat } from '../../shared/dataset/record-format.js';

/** @param training records of the training images, without the validation images */
export function measurePreprocessing(
  name: PreprocessingName,
  training: Uint8Array,
  format: RecordFormat,
): Preprocessing {
  switch (name) {
    case 'imagenet':
      return name;
    case 'per-pixel-mean':
      return { name, subtract: meanImage(training, format), divide: new Float32Array(format.channels).fill(255) };
    case 'standardize':
      return { name, ...channelMoments(training, format) };
    default:
      return name satisfies never;
  }
}

/** Returns the mean image, shape [row, column, raw channel]. */
function meanImage(training: Uint8Array, format: RecordFormat): Float32Array {
  const { channels, labelBytes, planePixels, imageValues, recordBytes } = format;
  const count = training.length / recordBytes;
  const sums = new Float64Array(imageValues);
  for (let image = 0; image < training.length; image += recordBytes) {
    for (let i = 0; i < sums.length; i++) sums[i] += training[image + labelBytes + i];
  }
  return Float32Array.from(sums, (_, i) => {
    const [pixel, channel] = [Math.floor(i / channels), i % channels];
    return sums[channel * planePixels + pixel] / count;
  });
}

/**
 * Returns the mean and standard deviation of each raw channel over all pixels of all images; a standard deviation of 0
 * becomes 1.
 */
function channelMoments(
  training: Uint8Array,
  { channels, labelBytes, planePixels, recordBytes }: RecordFormat,
): { subtract: Float32Array; divide: Float32Array } {
  const subtract = new Float32Array(channels);
  const divide = new Float32Array(channels);
  const values = (training.length / recordBytes) * planePixels;
  for (let channel = 0; channel < channels; channel++) {
    let sum = 0;
    let sumOfSquares = 0;
    for (let plane = labelBytes + channel * planePixels; plane < training.length; plane += recordBytes) {
      for (let i = plane; i < plane + planePixels; i++) {
        sum += training[i];
        sumOfSquares += training[i] ** 2;
      }
    }
    const mean = sum / values;
    subtract[channel] = mean;
    divide[channel] = Math.sqrt(sumOfSquares / values - mean ** 2) || 1;
  }
  return { subtract, divide };
}
