// Computes the probe of a model: the hash of its results for a fixed slice. Models with the same probe use the same arithmetic
// in every kernel that the slice needs.
import type { ImageBatch } from '../../shared/dataset/image-batch.js';
import { noiseRecords } from '../../shared/dataset/noise.js';
import { augmentationsOf } from '../../shared/dataset/partition.js';
import { recordFormat } from '../../shared/dataset/record-format.js';
import { littleEndianBytes } from '../../shared/network/layout-hash.js';
import { arrayOf, type ModelLayout, type WeightArray } from '../../shared/network/layout.js';
import { host } from '../../shared/platform/host.js';
import { KeyedRandom } from '../../shared/random.js';
import type { EngineModel } from '../engine.js';

/** Returns the SHA-256 of the gradient and the batch statistics of a slice. The weights and the images are always the same. */
export async function probeModel(model: EngineModel, layout: ModelLayout, imagesPerSlice: number): Promise<string> {
  const movingStatistics = new Float32Array(layout.statisticsSize).fill(1);
  model.setWeights(probeWeights(layout), movingStatistics);
  const { gradientSum, batchStatistics } = await model.computeSlice(probeBatch(layout, imagesPerSlice));
  return host.createSha256().update(littleEndianBytes(gradientSum)).update(littleEndianBytes(batchStatistics)).digest();
}

function probeBatch({ data }: ModelLayout, count: number): ImageBatch {
  const format = recordFormat(data);
  return {
    records: noiseRecords(format, count),
    format,
    indices: Uint32Array.from({ length: count }, (_, index) => index),
    augmentations: augmentationsOf({ seed: 0, step: 0, slice: 0, count, augment: true }),
    dropoutKey: { seed: 0, step: 0, slice: 0 },
  };
}

/** Returns weights with which values neither vanish nor overflow, so that no rounding error is hidden. */
function probeWeights(layout: ModelLayout): Float32Array {
  const weights = new Float32Array(layout.weightsSize);
  for (const [index, array] of layout.weights.entries()) {
    const random = new KeyedRandom(0, 'probe', index);
    const [center, spread] = rangeOf(array);
    const values = arrayOf(weights, array);
    for (let i = 0; i < values.length; i++) values[i] = center + spread * (2 * random.uniformAt(i) - 1);
  }
  return weights;
}

/** Kernels get the range of He's uniform initialization. Square roots are rounded correctly on every machine. */
function rangeOf({ initializer, shape, size }: WeightArray): [center: number, spread: number] {
  if (shape.length > 1) return [0, Math.sqrt((6 * shape.at(-1)!) / size)];
  return initializer === 'ones' ? [1, 0.25] : [0, 0.1];
}
