// Computes the statistics of the training images that preprocessing needs, unless the configuration gives them. This is
// done once, before the first step. Pure. Sums of bytes are integers and therefore exact in any order; each mean and standard deviation is rounded to
// float32 once.
import type { Preprocessing, PreprocessingName } from '../../shared/dataset/image-batch.js';
import type { RecordFormat } from '../../shared/dataset/record-format.js';
import type { Config } from '../../shared/config/config.js';
import { LockstepError } from '../../shared/errors.js';

/**
 * @param training records of the training images, without the validation images
 * @param given means and standard deviations that replace the measured ones of `standardize`
 * Throws `bad-config` unless these are one value per channel.
 */
export function measurePreprocessing(
  name: PreprocessingName,
  training: Uint8Array,
  format: RecordFormat,
  given: Partial<Pick<Config, 'pixelMean' | 'pixelStd'>> = {},
): Preprocessing {
  switch (name) {
    case 'imagenet':
      return name;
    case 'per-pixel-mean':
      return { name, subtract: meanImage(training, format), divide: new Float32Array(format.channels).fill(255) };
    case 'standardize': {
      const { subtract, divide } = channelMoments(training, format);
      return {
        name,
        subtract: givenValues('pixelMean', given, format) ?? subtract,
        divide: givenValues('pixelStd', given, format) ?? divide,
      };
    }
    case 'none':
      return { name, subtract: new Float32Array(format.channels), divide: new Float32Array(format.channels).fill(1) };
    default:
      return name satisfies never;
  }
}

function givenValues(
  key: 'pixelMean' | 'pixelStd',
  given: Partial<Pick<Config, 'pixelMean' | 'pixelStd'>>,
  { channels }: RecordFormat,
): Float32Array | undefined {
  const values = given[key] ?? undefined;
  if (values === undefined || values.length === channels) return values && Float32Array.from(values);
  const expected = channels === 1 ? '1 value, because the images are gray' : '3 values, for red, green and blue';
  throw new LockstepError('bad-config', `\`${key}\` is ${JSON.stringify(values)}: it must have ${expected}`);
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
