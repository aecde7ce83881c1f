// Measures how many images per second models compute, on slices of noise images. The models take turns, so that
// whatever else the machine does slows all of them alike.
import { identityAugmentations, type ImageBatch } from '../../shared/dataset/image-batch.js';
import { noiseRecords } from '../../shared/dataset/noise.js';
import { recordFormat } from '../../shared/dataset/record-format.js';
import { medianOf } from '../../shared/median.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import type { EngineModel } from '../engine.js';

/** Number of slices to discard: engines compile, trace or tune during the first, and some of them during the second. */
const warmUpSlices = 2;
const rounds = 4;
/** Minimum duration of a model's turn. */
const turnMs = 250;

/**
 * Returns the images per second of each model: the median over its slices; undefined for a model that fails, for example
 * because its engine lacks the memory.
 * @param imagesPerSlice number of images in each slice
 * @param onFailure called with the index of a model that fails
 * @param signal stops the measurement between slices and makes it reject
 */
export async function measureModels(
  models: readonly EngineModel[],
  layout: ModelLayout,
  imagesPerSlice: number,
  onFailure: (index: number, error: unknown) => void,
  signal?: AbortSignal,
): Promise<(number | undefined)[]> {
  const batch = noiseBatch(layout, imagesPerSlice);
  const weights = spreadWeights(layout.weightsSize);
  const movingStatistics = new Float32Array(layout.statisticsSize).fill(1);
  const timeSlice = async (model: EngineModel): Promise<number> => {
    signal?.throwIfAborted();
    const startedMs = performance.now();
    const { sampleCount } = await model.computeSlice(batch);
    return (performance.now() - startedMs) / sampleCount;
  };
  const measurable = new Map<number, EngineModel>();
  for (const [index, model] of models.entries()) {
    try {
      model.setWeights(weights, movingStatistics);
      for (let slice = 0; slice < warmUpSlices; slice++) await timeSlice(model);
      measurable.set(index, model);
    } catch (error) {
      signal?.throwIfAborted();
      onFailure(index, error);
    }
  }
  const msPerImage = models.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, model] of measurable) {
      const endMs = performance.now() + turnMs;
      do msPerImage[index].push(await timeSlice(model));
      while (performance.now() < endMs);
    }
  }
  return msPerImage.map((times) => (times.length === 0 ? undefined : 1000 / medianOf(times)));
}

function noiseBatch({ data }: ModelLayout, count: number): ImageBatch {
  const format = recordFormat(data);
  const indices = Uint32Array.from({ length: count }, (_, index) => index);
  return {
    records: noiseRecords(format, count),
    format,
    indices,
    augmentations: identityAugmentations(count),
    dropoutKey: { seed: 0, step: 0, slice: 0 },
  };
}

/** Returns small weights of both signs. Speed hardly depends on them, as long as no value overflows or vanishes. */
function spreadWeights(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => ((index * 2654435761) % 1000) / 10_000 - 0.05);
}
