import { describe, expect, it } from 'vitest';
import { measurePreprocessing } from '../../../coordinator/dataset/measure-preprocessing.js';
import {
  measuredArraysOf,
  measuredSizeOf,
  preprocessingFromValues,
} from '../../../shared/dataset/measured-preprocessing.js';
import { preprocessingNames, recordBytes } from '../../../shared/dataset/image-batch.js';

/** Two images: all bytes of the first are 10, 20, 30 per channel; of the second 30, 20, 31, but for one red pixel. */
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
    records[image * recordBytes] = 9; // a label, which is no pixel
  }
  records[recordBytes + 1 + 33] = 250; // red of row 1, column 1
  return records;
}

describe('the per-pixel mean', () => {
  it('is each pixel’s over the images, by row, column and raw channel', () => {
    const measured = measurePreprocessing('per-pixel-mean', twoRecords());
    if (measured === 'imagenet') throw new Error('it was not measured');
    expect(measured.subtract.length).toBe(3072);
    expect([...measured.subtract.subarray(0, 6)]).toEqual([20, 20, 30.5, 20, 20, 30.5]);
    expect(measured.subtract[3 * 33]).toBe(130); // (10 + 250) / 2
    expect([...measured.divide]).toEqual([255, 255, 255]);
  });
});

describe('standardization', () => {
  it('is by each channel’s mean and deviation, and by 1 where a channel never changes', () => {
    const measured = measurePreprocessing('standardize', twoRecords());
    if (measured === 'imagenet') throw new Error('it was not measured');
    // Red: 1024 × 10, 1023 × 30 and one 250. Blue: half 30 and half 31, deviation 0.5.
    const mean = (1024 * 10 + 1023 * 30 + 250) / 2048;
    const variance = (1024 * 10 ** 2 + 1023 * 30 ** 2 + 250 ** 2) / 2048 - mean ** 2;
    expect([...measured.subtract]).toEqual([Math.fround(mean), 20, 30.5]);
    expect([...measured.divide]).toEqual([Math.fround(Math.sqrt(variance)), 1, 0.5]);
  });
});

describe('what was measured', () => {
  it.each(preprocessingNames)('of %s comes back from its values as it went', (name) => {
    const measured = measurePreprocessing(name, twoRecords());
    const values = measuredArraysOf(measured).flatMap((array) => Array.from(array.values));
    expect(values.length).toBe(measuredSizeOf(name));
    expect(preprocessingFromValues(name, Float32Array.from(values))).toEqual(measured);
  });
});
