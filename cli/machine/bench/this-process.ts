// Measures training steps in this process, without network communication: the worker's part of each step, then the
// coordinator's.
import { initialMovingStatistics, initialWeights } from '../../../coordinator/optimizer/initial-weights.js';
import { learningRateAt } from '../../../shared/optimizer/learning-rate.js';
import { MomentumSgd } from '../../../coordinator/optimizer/momentum-sgd.js';
import { updateMovingStatistics } from '../../../shared/optimizer/moving-statistics.js';
import { totalStepsOf, type Config } from '../../../shared/config/config.js';
import {
  partitionIntoShards,
  gatherRecords,
  stepsPerEpochOf,
  augmentationsOf,
} from '../../../shared/dataset/partition.js';
import type { ImageBatch } from '../../../shared/dataset/image-batch.js';
import type { Dataset } from '../../../shared/dataset/description.js';
import { recordFormatOf } from '../../../shared/dataset/record-format.js';
import { graphOf } from '../../../shared/config/network-config.js';
import { PartialSumFormat } from '../../../shared/encoding/partial-sum.js';
import { layoutNetwork, type ModelLayout } from '../../../shared/network/layout.js';
import type { EngineModel } from '../../../worker/engine.js';
import { RecordsInMemory } from '../../../worker/shards/shard-records.js';
import { benchDataset } from './bench-images.js';
import { openFastest } from './fastest-engine.js';
import { SliceComputer } from '../../../worker/computation/slice-computer.js';
import { SliceImages } from '../../../worker/computation/slice-images.js';
import { measurementOf, type BenchOptions, type LayerTime, type Measurement } from './measurement.js';
import { RoundRecorder, type Phases } from './round-recorder.js';

/** Approximate size of the training images: synthesized in a quarter of a second, yet too large for a typical L2 cache. */
const imageBytes = 6 << 20;
/** Number of steps over which an engine is profiled. */
const profiledSteps = 2;

/** @param profile whether to measure the groups of layers, after the rounds */
export async function benchThisProcess(options: BenchOptions, profile: boolean): Promise<Measurement> {
  const { config, plan, onRound } = options;
  const { batchSize, slices } = config;
  const dataset = benchDataset(options.imageShape, imageBytes, batchSize);
  const layout = layoutNetwork(graphOf(config), recordFormatOf(dataset.description));
  const spec = { layout, preprocessing: 'imagenet' as const, labelSmoothing: 0 };
  const { engine, model, speeds, close } = await openFastest(options, spec, batchSize / slices, options.onMessage);
  try {
    const shards = shardsOf(dataset, config);
    const trainStep = stepTrainer(config, layout, model, dataset, shards);
    const rounds = new RoundRecorder(plan, config.batchSize);
    while (!rounds.isComplete) {
      if (rounds.add(await trainStep())) onRound(rounds.imagesPerSecond.length);
    }
    const measurement = measurementOf(rounds, options, engine, 0);
    if (speeds.length > 0) measurement.engineSpeeds = speeds;
    if (profile) {
      if (canProfile(model)) measurement.profile = await meanProfile(model, config, dataset, shards);
      else options.onMessage(`no profile: ${measurement.engine} does not measure its layers`);
    }
    return measurement;
  } finally {
    await close();
  }
}

/** Partitions the training images into one shard per slice as a coordinator does. */
function shardsOf({ description, training }: Dataset, { slices, seed }: Config): Uint8Array[] {
  const { recordBytes } = recordFormatOf(description);
  return partitionIntoShards(training.length / recordBytes, slices, seed).map((shard) =>
    gatherRecords(training, shard, recordBytes),
  );
}

/** @returns a function that trains one step and returns the time spent in each of its phases */
function stepTrainer(
  config: Config,
  layout: ModelLayout,
  model: EngineModel,
  { description, training }: Dataset,
  shards: readonly Uint8Array[],
) {
  const { batchSize, slices, bnMomentum } = config;
  const format = recordFormatOf(description);
  const stepsPerEpoch = stepsPerEpochOf(training.length / format.recordBytes, batchSize);
  const images = new SliceImages(
    { config, dataset: description, stepsPerEpoch, preprocessing: 'imagenet' },
    (_split, slice) => Promise.resolve(new RecordsInMemory(shards[slice], format)),
  );
  const computer = new SliceComputer(layout, model, images);
  const allSlices = { first: 0, count: slices };
  const sumFormat = new PartialSumFormat(layout, 'float32');
  const answer = sumFormat.viewsOf(new Float32Array(sumFormat.payloadFloats(slices)), slices);
  const gradientSum = answer.sum as Float32Array;
  const batchStatistics = Array.from({ length: slices }, (_, slice) => {
    const first = slice * layout.statisticsSize;
    return answer.batchStatistics.subarray(first, first + layout.statisticsSize);
  });
  const firstImages = { records: shards[0], format, preprocessing: 'imagenet' as const };
  const optimizer = new MomentumSgd(layout, config, initialWeights(layout, config.seed, firstImages));
  const { weights } = optimizer;
  const movingStatistics = initialMovingStatistics(layout);
  const length = { totalSteps: totalStepsOf(config, stepsPerEpoch), stepsPerEpoch };
  let step = 0;
  model.setWeights(weights, movingStatistics);

  return async (): Promise<Phases> => {
    const startedMs = performance.now();
    const { sampleCount, times } = await computer.sumRange(step, allSlices, answer);
    const { augmentMs, computeMs, reduceMs } = times.phases;
    const summedMs = performance.now();
    optimizer.step(gradientSum, sampleCount, learningRateAt(step, config, length));
    updateMovingStatistics(movingStatistics, batchStatistics, bnMomentum);
    const updatedMs = performance.now();
    model.setWeights(weights, movingStatistics);
    const endedMs = performance.now();
    step++;
    return {
      augment: augmentMs,
      compute: computeMs,
      add: reduceMs,
      update: updatedMs - summedMs,
      setWeights: endedMs - updatedMs,
      // Time to order the images and to choose their augmentations.
      other: summedMs - startedMs - augmentMs - computeMs - reduceMs,
      step: endedMs - startedMs,
    };
  };
}

/** A model that can measure the time of each phase per group of layers. */
interface ProfilingModel extends EngineModel {
  profile(batch: ImageBatch): readonly LayerTime[] | Promise<readonly LayerTime[]>;
}

function canProfile(model: EngineModel): model is ProfilingModel {
  return 'profile' in model && typeof model.profile === 'function';
}

/**
 * Returns the mean milliseconds per step of each phase and group of layers. The profile is measured separately from the
 * rounds, because reading the clock between layers takes time too.
 */
async function meanProfile(
  model: ProfilingModel,
  config: Config,
  { description }: Dataset,
  shards: readonly Uint8Array[],
): Promise<LayerTime[]> {
  const { seed, augment, cropPadding, slices, batchSize } = config;
  const format = recordFormatOf(description);
  const count = batchSize / slices;
  const sums = new Map<string, LayerTime>();
  for (let step = 0; step < profiledSteps; step++) {
    for (const [slice, records] of shards.entries()) {
      const indices = Uint32Array.from({ length: count }, (_, index) => index);
      const augmentations = augmentationsOf({ seed, step, slice, count, augment, cropPadding });
      const batch = { records, format, indices, augmentations, dropoutKey: { seed, step, slice } };
      for (const cell of await model.profile(batch)) addCell(sums, cell);
    }
  }
  return [...sums.values()];
}

/** Adds a cell's share of a step to the sum of its phase and group. */
function addCell(sums: Map<string, LayerTime>, { phase, group, ms, dispatches, bytes }: LayerTime): void {
  const key = `${phase} ${group}`;
  const sum = sums.get(key) ?? { phase, group, ms: 0 };
  sum.ms += ms / profiledSteps;
  if (dispatches !== undefined) sum.dispatches = (sum.dispatches ?? 0) + dispatches / profiledSteps;
  if (bytes !== undefined) sum.bytes = (sum.bytes ?? 0) + bytes / profiledSteps;
  sums.set(key, sum);
}
