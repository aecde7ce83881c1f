// The masks of dropout. They come from the keyed generator, so every engine and every worker uses the same masks.
import { KeyedRandom } from '../random.js';
import type { DropoutLayer } from './layers.js';
import { sizeOf } from './shapes.js';

/** Identifies the slice that the masks belong to. */
export interface DropoutKey {
  seed: number;
  step: number;
  slice: number;
}

/** Maximum number of slices in a run, so that every pair of layer and slice has an index of its own. */
const maxSlices = 4096;

/**
 * Returns the factors for a layer's elements, [images, …shape]: 0 with probability `rate`, otherwise 1 / (1 - rate).
 */
export function dropoutMask({ seed, step, slice }: DropoutKey, layer: DropoutLayer, imageCount: number): Float32Array {
  const random = new KeyedRandom(seed, 'dropout', step, layer.index * maxSlices + slice);
  const mask = new Float32Array(imageCount * sizeOf(layer.shape));
  const kept = 1 / (1 - layer.rate);
  // One position gives two words, which is enough for two elements.
  const threshold = Math.round(layer.rate * 2 ** 32);
  for (let i = 0; i < mask.length; i += 2) {
    const words = random.wordsAt(i / 2);
    mask[i] = words[0] < threshold ? 0 : kept;
    if (i + 1 < mask.length) mask[i + 1] = words[1] < threshold ? 0 : kept;
  }
  return mask;
}
