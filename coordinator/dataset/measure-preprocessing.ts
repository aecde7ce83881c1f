// Computes the statistics of the training images that preprocessing needs. This is done once, before the first step.
// Pure. Sums of bytes are integers and therefore exact in any order; each mean and standard deviation is rounded to
// float32 once.
import {
  pixelsPerPlane,
  recordBytes,
  type Preprocessing,
  type PreprocessingName,
} from '../../shared/dataset/image-batch.js';
import { imageChannels } from '../../shared/network/layout.js';

/** @param training CIFAR-10 records of the training images, without the validation images */
export function measurePreprocessing(name: PreprocessingName, training: Uint8Array): Preprocessing {
  switch (name) {
    case 'imagenet':
      return name;
    case 'per-pixel-mean':
      return { name, subtract: meanImage(training), divide: new Float32Array(imageChannels).fill(255) };
    case 'standardize':
      return { name, ...channelMoments(training) };
    default:
      return name satisfies never;
  }
}

/** Returns the mean image, shape [row, column, raw channel]. */
function meanImage(training: Uint8Array): Float32Array {
  const count = training.length / recordBytes;
  const sums = new Float64Array(recordBytes - 1);
  for (let image = 0; image < training.length; image += recordBytes) {
    for (let i = 0; i < sums.length; i++) sums[i] += training[image + 1 + i];
  }
  return Float32Array.from(sums, (_, i) => {
    const [pixel, channel] = [Math.floor(i / imageChannels), i % imageChannels];
    return sums[channel * pixelsPerPlane + pixel] / count;
  });
}

/**
 * Returns the mean and standard deviation of each raw channel over all pixels of all images; a standard deviation of 0
 * becomes 1.
 */
function channelMoments(training: Uint8Array): { subtract: Float32Array; divide: Float32Array } {
  const subtract = new Float32Array(imageChannels);
  const divide = new Float32Array(imageChannels);
  const values = (training.length / recordBytes) * pixelsPerPlane;
  for (let channel = 0; channel < imageChannels; channel++) {
    let sum = 0;
    let sumOfSquares = 0;
    for (let plane = 1 + channel * pixelsPerPlane; plane < training.length; plane += recordBytes) {
      for (let i = plane; i < plane + pixelsPerPlane; i++) {
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
