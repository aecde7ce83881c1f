// Random images, augmentations and weights for comparing engines. All values derive from the seed.
import { cifar10Format } from '../../shared/dataset/cifar10-layout.js';
import { packAugmentation, type ImageBatch, type MeasuredPreprocessing } from '../../shared/dataset/image-batch.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { KeyedRandom } from '../../shared/random.js';

/**
 * Returns images with uniformly random bytes, labels and augmentations, to cover everything that an engine can receive.
 */
export function randomBatch(count: number, seed: number, format = cifar10Format): ImageBatch {
  const { recordBytes, labelBytes, classCount } = format;
  const random = new KeyedRandom(seed, 'synthesis');
  const records = Uint8Array.from({ length: count * recordBytes }, (_, i) => {
    const record = i - (i % recordBytes);
    if (i - record >= labelBytes) return random.integerAt(i, 256);
    return random.integerAt(record, classCount) >> (8 * (i - record));
  });
  const choices = new KeyedRandom(seed, 'augmentation');
  return {
    records,
    format,
    indices: Uint32Array.from({ length: count }, (_, i) => i),
    augmentations: Uint16Array.from({ length: count }, (_, i) =>
      packAugmentation(
        choices.integerAt(3 * i, 9),
        choices.integerAt(3 * i + 1, 9),
        choices.integerAt(3 * i + 2, 2) === 1,
      ),
    ),
  };
}

/** Returns uniformly random weights: He-scaled kernels, gammas from 0.7 to 1.3, biases and betas from -0.3 to 0.3. */
export function randomWeights(layout: ModelLayout, seed: number): Float32Array {
  const weights = new Float32Array(layout.weightsSize);
  for (const [index, array] of layout.weights.entries()) {
    const random = new KeyedRandom(seed, 'initialWeights', index);
    const fanIn = array.size / array.shape.at(-1)!;
    const range = array.name.endsWith('/kernel') ? Math.sqrt(6 / fanIn) : 0.3;
    const middle = array.name.endsWith('/gamma') ? 1 : 0;
    for (let i = 0; i < array.size; i++) {
      weights[array.offset + i] = middle + range * (2 * random.uniformAt(i) - 1);
    }
  }
  return weights;
}

/** Returns uniformly random moving means from -0.5 to 0.5 and moving variances from 0.5 to 1.5. */
export function randomMovingStatistics(layout: ModelLayout, seed: number): Float32Array {
  const statistics = new Float32Array(layout.statisticsSize);
  for (const [index, array] of layout.statistics.entries()) {
    const random = new KeyedRandom(seed, 'initialWeights', index, 1);
    const middle = array.name.endsWith('/moving_variance') ? 1 : 0;
    for (let i = 0; i < array.size; i++) statistics[array.offset + i] = middle + random.uniformAt(i) - 0.5;
  }
  return statistics;
}

/** Returns preprocessing with means that differ from pixel to pixel and from channel to channel. */
export function perPixelMean({ imageValues, channels } = cifar10Format): MeasuredPreprocessing {
  const random = new KeyedRandom(7, 'synthesis');
  const subtract = Float32Array.from({ length: imageValues }, (_, i) => 90 + random.integerAt(i, 9000) / 100);
  return { name: 'per-pixel-mean', subtract, divide: new Float32Array(channels).fill(255) };
}

export function standardize(): MeasuredPreprocessing {
  return {
    name: 'standardize',
    subtract: Float32Array.of(125.3, 122.9, 113.8),
    divide: Float32Array.of(62.9, 62.1, 66.7),
  };
}
