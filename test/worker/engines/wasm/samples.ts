// Weights and images for the wasm engine's tests. All functions are pure.
import { cifar10Format } from '../../../../shared/dataset/cifar10-layout.js';
import { packAugmentation, identityAugmentations, type ImageBatch } from '../../../../shared/dataset/image-batch.js';
import type { ModelLayout } from '../../../../shared/network/layout.js';
import { KeyedRandom } from '../../../../shared/random.js';

const { recordBytes } = cifar10Format;

/** Returns random numbers between -1 and 1. */
export function randomValues(count: number, seed: number): Float32Array {
  const random = new KeyedRandom(seed, 'synthesis');
  return Float32Array.from({ length: count }, (_, position) => 2 * random.uniformAt(position) - 1);
}

/** Returns kernels with He initialization, batch norms that scale and shift, and nonzero biases. */
export function randomWeights(layout: ModelLayout, seed = 1): Float32Array {
  const weights = randomValues(layout.weightsSize, seed);
  for (const { name, shape, offset, size } of layout.weights) {
    const fanIn = shape.slice(0, -1).reduce((product, extent) => product * extent, 1);
    for (let i = offset; i < offset + size; i++) {
      if (name.endsWith('kernel')) weights[i] *= Math.sqrt(6 / fanIn);
      else if (name.endsWith('gamma')) weights[i] = 1 + 0.3 * weights[i];
      else weights[i] *= 0.3;
    }
  }
  return weights;
}

export function randomMovingStatistics(layout: ModelLayout, seed = 2): Float32Array {
  const statistics = randomValues(layout.statisticsSize, seed);
  for (const { name, offset, size } of layout.statistics) {
    if (!name.endsWith('variance')) continue;
    for (let i = offset; i < offset + size; i++) statistics[i] = 1 + 0.5 * statistics[i];
  }
  return statistics;
}

/** Returns noise images with random labels and augmentations, drawn in shuffled order from slightly more records. */
export function randomBatch(count: number, seed = 3, format = cifar10Format): ImageBatch {
  const { recordBytes, labelBytes, classCount } = format;
  const random = new KeyedRandom(seed, 'synthesis', 1);
  const records = Uint8Array.from({ length: (count + 3) * recordBytes }, (_, position) => {
    const record = position - (position % recordBytes);
    if (position - record >= labelBytes) return random.integerAt(position, 256);
    return random.integerAt(record, classCount) >> (8 * (position - record));
  });
  const indices = Uint32Array.from({ length: count }, (_, image) => (7 * image + 2) % (count + 3));
  const choices = new KeyedRandom(seed, 'augmentation');
  const augmentations = Uint16Array.from({ length: count }, (_, image) =>
    packAugmentation(
      choices.integerAt(3 * image, 9),
      choices.integerAt(3 * image + 1, 9),
      choices.uniformAt(3 * image + 2) < 0.5,
    ),
  );
  return { records, format, indices, augmentations };
}

/** Returns images of one color per label, which any model can learn to distinguish. */
export function easyBatch(count: number): ImageBatch {
  const records = Uint8Array.from({ length: count * recordBytes }, (_, position) => {
    const label = Math.floor(position / recordBytes) % 10;
    const inRecord = position % recordBytes;
    return inRecord === 0 ? label : (97 * label + 31 * Math.floor((inRecord - 1) / 1024) * label) % 256;
  });
  return {
    records,
    format: cifar10Format,
    indices: Uint32Array.from({ length: count }, (_, image) => image),
    augmentations: identityAugmentations(count),
  };
}

/** Returns the largest difference, relative to the largest expected value. */
export function maxError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const apart = Math.abs(actual[i] - expected[i]);
    if (!(apart <= difference)) difference = apart; // also if the difference is NaN
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return difference / (largest || 1);
}
