// Computes the statistics of the training images that preprocessing needs, unless the configuration gives them. This is
// done once, before the first step. Pure. Sums of bytes are integers and therefore exact in any order; each mean and standard deviation is rounded to
// float32 once.
import type { Preprocessing, PreprocessingName } from '../../shared/dataset/image-batch.js';
import { chunksOf, type Records } from '../../shared/dataset/records.js';
import type { RecordFormat } from '../../shared/dataset/record-format.js';
import type { Config } from '../../shared/config/config.js';
import { LockstepError } from '../../shared/errors.js';

/**
 * @param training records of the training images, without the validation images
 * @param given means and standard deviations that replace the measured ones of `standardize`
 * Throws `bad-config` unless these are one value per channel.
 */
export async function measurePreprocessing(
  name: PreprocessingName,
  training: Records,
  format: RecordFormat,
  given: Partial<Pick<Config, 'pixelMean' | 'pixelStd'>> = {},
): Promise<Preprocessing> {
  switch (name) {
    case 'imagenet':
      return name;
    case 'per-pixel-mean':
      return { name, subtract: await meanImage(training, format), divide: new Float32Array(format.channels).fill(255) };
    case 'standardize': {
      const { subtract, divide } = await channelMoments(training, format);
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
async function meanImage(training: Records, format: RecordFormat): Promise<Float32Array> {
  const { channels, labelBytes, planePixels, imageValues, recordBytes } = format;
  const count = training.length / recordBytes;
  const sums = new Float64Array(imageValues);
  for await (const records of chunksOf(training, recordBytes)) {
    for (let image = 0; image < records.length; image += recordBytes) {
      for (let i = 0; i < sums.length; i++) sums[i] += records[image + labelBytes + i];
    }
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
async function channelMoments(
  training: Records,
  { channels, labelBytes, planePixels, recordBytes }: RecordFormat,
): Promise<{ subtract: Float32Array; divide: Float32Array }> {
  const sums = Array.from({ length: channels }, () => ({ ofValues: 0, ofSquares: 0 }));
  for await (const records of chunksOf(training, recordBytes)) {
    for (const [channel, sum] of sums.entries()) {
      let [ofValues, ofSquares] = [0, 0];
      for (let plane = labelBytes + channel * planePixels; plane < records.length; plane += recordBytes) {
        for (let i = plane; i < plane + planePixels; i++) {
          ofValues += records[i];
          ofSquares += records[i] ** 2;
        }
      }
      sum.ofValues += ofValues;
      sum.ofSquares += ofSquares;
    }
  }
  const values = (training.length / recordBytes) * planePixels;
  const means = sums.map(({ ofValues }) => ofValues / values);
  return {
    subtract: Float32Array.from(means),
    divide: Float32Array.from(
      sums,
      ({ ofSquares }, channel) => Math.sqrt(ofSquares / values - means[channel] ** 2) || 1,
    ),
  };
}
