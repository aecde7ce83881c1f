import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { countPerClass, imageCountOf } from '../../../shared/dataset/cifar10-layout.js';
import { synthesizeDataset, synthesizeRecords } from '../../../shared/dataset/synthesize.js';

const { planePixels: pixelsPerPlane, recordBytes } = cifar10Format;

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('synthetic images', () => {
  it('have the same bytes on every machine', () => {
    expect(sha256(synthesizeRecords({ seed: 0, split: 'training', count: 200 }))).toBe(
      '4e2c4a36c02479ec31c6659bc3aa5dce3755f1c143e76b4d7790f8834533b6c2',
    );
    expect(sha256(synthesizeRecords({ seed: 2 ** 53 - 1, split: 'test', count: 50 }))).toBe(
      'f9ea71911786d043dbdc22426badad7596bac031d7c0c4c445a3f8c31eb14164',
    );
  });

  it('do not depend on their number', () => {
    const few = synthesizeRecords({ seed: 5, split: 'test', count: 13 });
    const many = synthesizeRecords({ seed: 5, split: 'test', count: 40 });
    expect(Buffer.compare(few, many.subarray(0, few.length))).toBe(0);
  });

  it('differ between seeds and between the splits', () => {
    const hashes = [
      synthesizeRecords({ seed: 0, split: 'training', count: 10 }),
      synthesizeRecords({ seed: 0, split: 'test', count: 10 }),
      synthesizeRecords({ seed: 1, split: 'training', count: 10 }),
      synthesizeRecords({ seed: 2 ** 32, split: 'training', count: 10 }),
    ].map(sha256);
    expect(new Set(hashes).size).toBe(4);
  });

  it('contain every class equally often, in shuffled order', () => {
    const records = synthesizeRecords({ seed: 0, split: 'training', count: 100 });
    expect([...countPerClass(records)]).toEqual(Array.from({ length: 10 }, () => 10));
    const labels = Array.from({ length: 100 }, (_, index) => records[index * recordBytes]);
    expect(labels).not.toEqual(Array.from({ length: 100 }, (_, index) => index % 10));
    expect(labels.slice(0, 10)).not.toEqual(labels.slice(10, 20));
  });

  it('are all different, and none is a single color', () => {
    const count = 300;
    const records = synthesizeRecords({ seed: 0, split: 'training', count });
    const images = Array.from({ length: count }, (_, i) =>
      records.subarray(i * recordBytes + 1, (i + 1) * recordBytes),
    );
    expect(new Set(images.map(sha256)).size).toBe(count);
    for (const image of images) expect(new Set(image).size).toBeGreaterThan(20);
  });

  it('are classified by the nearest mean image better than by chance, but poorly', () => {
    const training = synthesizeRecords({ seed: 0, split: 'training', count: 4000 });
    const test = synthesizeRecords({ seed: 0, split: 'test', count: 500 });
    const accuracy = nearestMeanAccuracy(training, test);
    expect(accuracy).toBeGreaterThan(0.15);
    expect(accuracy).toBeLessThan(0.4);
  });

  it('reject a count that is not an integer of at least 1', () => {
    expect(() => synthesizeRecords({ seed: 0, split: 'test', count: 0 })).toThrow('the number of test images is 0');
    expect(() => synthesizeRecords({ seed: 0, split: 'test', count: 1.5 })).toThrow('1.5');
  });
});

describe('a synthetic dataset', () => {
  it('has ten named classes and a description', () => {
    const dataset = synthesizeDataset({ seed: 8, trainingImages: 20, testImages: 10 });
    expect(imageCountOf(dataset.training)).toBe(20);
    expect(imageCountOf(dataset.test)).toBe(10);
    expect(new Set(dataset.description.classNames).size).toBe(10);
    expect(dataset.description.classNames[0]).toBe('striped disc');
    expect(dataset.source).toBe('synthetic images (seed 8, 20 training, 10 test)');
  });
});

/**
 * Returns the share of test images that are closer to their own class's mean training image than to any other class's,
 * measured by the sum of squared pixel differences.
 */
function nearestMeanAccuracy(training: Uint8Array, test: Uint8Array): number {
  const values = 3 * pixelsPerPlane;
  const means = Array.from({ length: 10 }, () => new Float64Array(values));
  const counts = countPerClass(training);
  for (let offset = 0; offset < training.length; offset += recordBytes) {
    const label = training[offset];
    for (let i = 0; i < values; i++) means[label][i] += training[offset + 1 + i] / counts[label];
  }
  let correct = 0;
  for (let offset = 0; offset < test.length; offset += recordBytes) {
    const distances = means.map((mean) => {
      let sum = 0;
      for (let i = 0; i < values; i++) sum += (test[offset + 1 + i] - mean[i]) ** 2;
      return sum;
    });
    if (distances.indexOf(Math.min(...distances)) === test[offset]) correct++;
  }
  return correct / imageCountOf(test);
}
