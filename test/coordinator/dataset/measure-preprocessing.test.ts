import { describe, expect, it } from 'vitest';
import { measurePreprocessing } from '../../../coordinator/dataset/measure-preprocessing.js';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import {
  measuredArraysOf,
  measuredSizeOf,
  preprocessingFromValues,
} from '../../../shared/dataset/measured-preprocessing.js';
import { imagenetMeans, preprocessingNames } from '../../../shared/dataset/image-batch.js';
import { inputTransformOf } from '../../../shared/dataset/input-transform.js';
import { recordFormat } from '../../../shared/dataset/record-format.js';

const { recordBytes } = cifar10Format;

/**
 * Returns the records of two images with one constant value per channel, (10, 20, 30) and (30, 20, 31), except for the
 * red value of one pixel in the second image.
 */
function twoRecords(): Uint8Array {
  const records = new Uint8Array(2 * recordBytes);
  for (const [image, values] of [
    [10, 20, 30],
    [30, 20, 31],
  ].entries()) {
    for (const [channel, value] of values.entries()) {
      const first = image * recordBytes + 1 + channel * 1024;
      records.fill(value, first, first + 1024);
    }
    records[image * recordBytes] = 9; // a label, not a pixel
  }
  records[recordBytes + 1 + 33] = 250; // red value of the pixel at row 1, column 1
  return records;
}

describe('the per-pixel mean', () => {
  it('is the mean of each pixel over the images, by row, column and raw channel', async () => {
    const measured = await measurePreprocessing('per-pixel-mean', twoRecords(), cifar10Format);
    if (measured === 'imagenet') throw new Error('it was not measured');
    expect(measured.subtract.length).toBe(3072);
    expect([...measured.subtract.subarray(0, 6)]).toEqual([20, 20, 30.5, 20, 20, 30.5]);
    expect(measured.subtract[3 * 33]).toBe(130); // (10 + 250) / 2
    expect([...measured.divide]).toEqual([255, 255, 255]);
  });
});

describe('standardization', () => {
  it('uses the mean and standard deviation of each channel, and divides a constant channel by 1', async () => {
    const measured = await measurePreprocessing('standardize', twoRecords(), cifar10Format);
    if (measured === 'imagenet') throw new Error('it was not measured');
    // Red: 1,024 values of 10, 1,023 of 30 and one of 250. Blue: half 30 and half 31, with standard deviation 0.5.
    const mean = (1024 * 10 + 1023 * 30 + 250) / 2048;
    const variance = (1024 * 10 ** 2 + 1023 * 30 ** 2 + 250 ** 2) / 2048 - mean ** 2;
    expect([...measured.subtract]).toEqual([Math.fround(mean), 20, 30.5]);
    expect([...measured.divide]).toEqual([Math.fround(Math.sqrt(variance)), 1, 0.5]);
  });
});

describe('given values', () => {
  const records = twoRecords();

  it('replace the measured mean, the measured standard deviation or both', async () => {
    const measured = await measurePreprocessing('standardize', records, cifar10Format);
    const pixelMean = [125.3, 122.9, 113.8];
    const pixelStd = [62.9, 62.1, 66.7];
    const given = await Promise.all(
      [{ pixelMean }, { pixelStd }, { pixelMean, pixelStd }].map((values) =>
        measurePreprocessing('standardize', records, cifar10Format, values),
      ),
    );
    const [subtract, divide] = [Float32Array.from(pixelMean), Float32Array.from(pixelStd)];
    expect(given).toEqual([
      { ...(measured as object), subtract },
      { ...(measured as object), divide },
      { name: 'standardize', subtract, divide },
    ]);
  });

  it('are refused unless there is one for each channel', async () => {
    await expect(measurePreprocessing('standardize', records, cifar10Format, { pixelStd: [62] })).rejects.toThrow(
      '`pixelStd` is [62]: it must have 3 values, for red, green and blue',
    );
  });
});

it('without normalization, the network receives the bytes', async () => {
  expect(await measurePreprocessing('none', twoRecords(), cifar10Format)).toEqual({
    name: 'none',
    subtract: new Float32Array(3),
    divide: Float32Array.of(1, 1, 1),
  });
});

describe('on gray images', () => {
  // Two records of 2×1 pixels with labels of two bytes.
  const format = recordFormat({ height: 1, width: 2, channels: 1, classCount: 300 });
  const records = Uint8Array.of(1, 1, 10, 20, 0, 0, 30, 40);

  it('the per-pixel mean has one value per pixel', async () => {
    expect(await measurePreprocessing('per-pixel-mean', records, format)).toEqual({
      name: 'per-pixel-mean',
      subtract: Float32Array.of(20, 30),
      divide: Float32Array.of(255),
    });
  });

  it('standardization has one value', async () => {
    // The values 10, 20, 30 and 40 have the variance 125.
    expect(await measurePreprocessing('standardize', records, format)).toEqual({
      name: 'standardize',
      subtract: Float32Array.of(25),
      divide: Float32Array.of(Math.sqrt(125)),
    });
  });

  it('imagenet subtracts the luminance of the mean color', async () => {
    const { red, green, blue, gray } = imagenetMeans;
    expect(gray).toBeCloseTo(0.299 * red + 0.587 * green + 0.114 * blue, 6);
    expect(inputTransformOf('imagenet', 1)).toEqual({
      subtract: Float32Array.of(gray),
      divide: Float32Array.of(255),
      channelOrder: [0],
    });
  });
});

describe('measured preprocessing', () => {
  it.each(preprocessingNames)('%s is restored from its values', async (name) => {
    const measured = await measurePreprocessing(name, twoRecords(), cifar10Format);
    const values = measuredArraysOf(measured, cifar10Format).flatMap((array) => Array.from(array.values));
    expect(values.length).toBe(measuredSizeOf(name, cifar10Format));
    expect(preprocessingFromValues(name, Float32Array.from(values), cifar10Format)).toEqual(measured);
  });
});
