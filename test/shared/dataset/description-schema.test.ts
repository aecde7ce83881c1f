import { describe, expect, it } from 'vitest';
import { assertDataset, datasetDescription, differenceBetween } from '../../../shared/dataset/description-schema.js';
import type { Dataset, DatasetDescription } from '../../../shared/dataset/description.js';
import { noiseDataset } from '../../support/noise-dataset.js';

const description: DatasetDescription = {
  name: 'photos',
  height: 64,
  width: 48,
  channels: 1,
  classNames: ['cats', 'dogs'],
  fit: 'squeeze',
};
const manyNames = (count: number, name: (label: number) => string) => Array.from({ length: count }, (_, i) => name(i));

describe('a description', () => {
  it('with 65,535 classes and images of 224×224 pixels is valid', () => {
    const largest = { ...description, height: 224, width: 224, classNames: manyNames(65_535, (label) => `c${label}`) };
    expect(datasetDescription.parse(largest)).toEqual(largest);
  });

  it.each<[string, Record<string, unknown>]>([
    ['no height', { height: 0 }],
    ['a width of 225', { width: 225 }],
    ['a fraction of a pixel', { width: 32.5 }],
    ['two channels', { channels: 2 }],
    ['no classes', { classNames: [] }],
    ['65,536 classes', { classNames: manyNames(65_536, () => 'c') }],
    ['a class without a name', { classNames: ['cats', ''] }],
    ['a class with a long name', { classNames: ['c'.repeat(201)] }],
    ['names that take more than 512 KiB', { classNames: manyNames(10_000, () => 'ä'.repeat(30)) }],
    ['an unknown fit', { fit: 'stretch' }],
    ['an unknown field', { depth: 3 }],
  ])('with %s is invalid', (_, change) => {
    expect(datasetDescription.safeParse({ ...description, ...change }).success).toBe(false);
  });
});

describe('assertDataset', () => {
  const dataset = noiseDataset({ height: 8, width: 8, channels: 1, classCount: 300 }, { training: 5, test: 2 });
  // A record has 2 + 64 bytes.
  const withLabel = (label: number) => {
    const training = dataset.training.slice();
    training.set([label & 255, label >> 8], 66);
    return { ...dataset, training };
  };

  it('accepts records that fit the description', () => {
    expect(() => assertDataset(withLabel(299))).not.toThrow();
  });

  it.each<[string, Dataset, string]>([
    ['a partial record', { ...dataset, test: new Uint8Array(67) }, 'the test images of noise have 67 bytes'],
    ['an invalid label', withLabel(300), 'training image 1 of noise has the label 300, but there are only 300 classes'],
    [
      'an invalid description',
      { ...dataset, description: { ...dataset.description, height: 300 } },
      'the description of noise is invalid: height:',
    ],
  ])('rejects %s', (_, bad, message) => {
    expect(() => assertDataset(bad)).toThrow(
      expect.objectContaining({ code: 'bad-data', message: expect.stringContaining(message) }),
    );
  });
});

describe('differenceBetween', () => {
  it('finds none if only the names of the datasets differ', () => {
    expect(differenceBetween({ ...description, name: 'copy' }, description)).toBeUndefined();
  });

  it.each<[Partial<DatasetDescription>, string]>([
    [{ height: 32 }, 'images of 48×32 pixels and 1 channel instead of 48×64 pixels and 1 channel'],
    [{ channels: 3 }, 'images of 48×64 pixels and 3 channels instead of 48×64 pixels and 1 channel'],
    [{ classNames: ['cats'] }, '1 class instead of 2'],
    [{ classNames: ['cats', 'birds'] }, 'class 1 is birds instead of dogs'],
    [{ fit: null }, 'images that were not resized instead of resized with `fit` squeeze'],
  ])('names the difference of %j', (change, difference) => {
    expect(differenceBetween({ ...description, ...change }, description)).toBe(difference);
  });
});
