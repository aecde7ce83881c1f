// Trains ten steps in Keras and in Lockstep with the same initial weights and batches. A single Keras process runs all
// cases.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { initialMovingStatistics, initialWeights } from '../../coordinator/optimizer/initial-weights.js';
import { learningRateAt } from '../../shared/optimizer/learning-rate.js';
import { measurePreprocessing } from '../../coordinator/dataset/measure-preprocessing.js';
import { MomentumSgd } from '../../coordinator/optimizer/momentum-sgd.js';
import { updateMovingStatistics } from '../../shared/optimizer/moving-statistics.js';
import { cifar10Format } from '../../shared/dataset/cifar10-layout.js';
import { resolveConfig, type Config, type ConfigInput } from '../../shared/config/config.js';
import { identityAugmentations, type ImageBatch } from '../../shared/dataset/image-batch.js';
import { synthesizeRecords } from '../../shared/dataset/synthesize.js';
import { cropBatch, labelsOf } from '../../worker/augmentation.js';
import type { Engine } from '../../worker/engine.js';
import { randomBatch } from './random-batch.js';
import { resnetLayout } from './resnet-layout.js';

const { imageValues: valuesPerImage } = cifar10Format;

export const goldenSteps = 10;
const batchSize = 16;
const script = fileURLToPath(new URL('keras_golden.py', import.meta.url));

/** Loss, weights and moving statistics after each step. */
export interface Trajectory {
  losses: number[];
  weights: Float32Array[];
  statistics: Float32Array[];
}

export interface GoldenCase {
  recipe: ConfigInput;
  precision: 'float32' | 'float64';
}

export interface KerasResults {
  trajectories: Map<string, Trajectory>;
  /** Learning rate at each requested step of the schedule. */
  learningRates: number[];
}

/** Training images for all cases. Each step uses different images, randomly flipped and cropped. */
const records = synthesizeRecords({ seed: 0, split: 'training', count: goldenSteps * batchSize });

function batchOf(step: number): ImageBatch {
  const { augmentations } = randomBatch(batchSize, step);
  return {
    records,
    format: cifar10Format,
    augmentations,
    indices: Uint32Array.from({ length: batchSize }, (_, i) => step * batchSize + i),
  };
}

/** Trains like a run with one slice, but without a coordinator or workers. */
export async function trainWithLockstep(engine: Engine, recipe: ConfigInput): Promise<Trajectory> {
  const config = resolveConfig(recipe);
  const layout = resnetLayout(config);
  const preprocessing = await measurePreprocessing(config.preprocessing, records, cifar10Format);
  const model = await engine.createModel(layout, preprocessing, config.labelSmoothing);
  const optimizer = new MomentumSgd(layout, config, initialWeights(layout, 0));
  const { weights } = optimizer;
  const statistics = initialMovingStatistics(layout);
  const trajectory: Trajectory = { losses: [], weights: [], statistics: [] };
  const length = { totalSteps: goldenSteps, stepsPerEpoch: goldenSteps };
  for (let step = 0; step < goldenSteps; step++) {
    model.setWeights(weights, statistics);
    const { gradientSum, lossSum, batchStatistics, sampleCount } = await model.computeSlice(batchOf(step));
    optimizer.step(gradientSum, sampleCount, learningRateAt(step, config, length));
    updateMovingStatistics(statistics, [batchStatistics], config.bnMomentum);
    trajectory.losses.push(lossSum / sampleCount);
    trajectory.weights.push(weights.slice());
    trajectory.statistics.push(statistics.slice());
  }
  model.dispose();
  return trajectory;
}

/**
 * Trains every case in Keras.
 * @param schedule a recipe, and the steps at which to return the learning rate
 */
export function runKeras(
  python: string,
  cases: ReadonlyMap<string, GoldenCase>,
  schedule: { recipe: ConfigInput; steps: readonly number[] },
): KerasResults {
  const folder = mkdtempSync(path.join(tmpdir(), 'lockstep-keras-'));
  try {
    const named = [...cases].map(([name, { recipe, precision }], index) => ({
      name,
      folder: `case-${index}`,
      recipe,
      precision,
    }));
    const tasks = {
      cases: named.map((golden) => writeCase(path.join(folder, golden.folder), golden)),
      schedule: { steps: schedule.steps, keras: kerasSchedule(resolveConfig(schedule.recipe)) },
    };
    writeFileSync(path.join(folder, 'tasks.json'), JSON.stringify(tasks));
    execFileSync(python, [script, folder], { stdio: ['ignore', 'ignore', 'pipe'] });
    return {
      trajectories: new Map(
        named.map(({ name, folder: own, recipe }) => [name, readTrajectory(path.join(folder, own), recipe)]),
      ),
      learningRates: JSON.parse(readFileSync(path.join(folder, 'schedule.json'), 'utf8')) as number[],
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Returns the arguments for PiecewiseConstantDecay in Keras. */
function kerasSchedule({ learningRateBoundaries, learningRate }: Config) {
  const values = [learningRate, ...learningRateBoundaries.map((_, i) => learningRate / 10 ** (i + 1))];
  return { boundaries: learningRateBoundaries, values };
}

function writeCase(folder: string, { recipe, precision }: GoldenCase): object {
  mkdirSync(folder);
  const write = (name: string, values: Uint8Array | Float32Array | Int32Array) =>
    writeFileSync(path.join(folder, name), values);
  const config = resolveConfig(recipe);
  const layout = resnetLayout(config);
  const count = goldenSteps * batchSize;
  const augmented = new Uint8Array(count * valuesPerImage);
  const labels = new Int32Array(count);
  for (let step = 0; step < goldenSteps; step++) {
    cropBatch(batchOf(step), augmented.subarray(step * batchSize * valuesPerImage));
    labels.set(labelsOf(batchOf(step)), step * batchSize);
  }
  const training = new Uint8Array(count * valuesPerImage);
  const indices = Uint32Array.from({ length: count }, (_, i) => i);
  cropBatch({ records, format: cifar10Format, augmentations: identityAugmentations(count), indices }, training);
  write('augmented.u8', augmented);
  write('training.u8', training);
  write('labels.i32', labels);
  write('weights.f32', initialWeights(layout, 0));
  write('statistics.f32', initialMovingStatistics(layout));
  const { boundaries, values: learningRates } = kerasSchedule(config);
  return {
    ...config,
    folder: path.basename(folder),
    precision,
    batchSize,
    steps: goldenSteps,
    boundaries,
    learningRates,
    trainable: layout.weights,
    statistics: layout.statistics,
  };
}

function readTrajectory(folder: string, recipe: ConfigInput): Trajectory {
  const layout = resnetLayout(resolveConfig(recipe));
  const readSteps = (name: string, length: number) => {
    const values = new Float32Array(new Uint8Array(readFileSync(path.join(folder, name))).buffer);
    return Array.from({ length: goldenSteps }, (_, step) => values.subarray(step * length, (step + 1) * length));
  };
  return {
    losses: readSteps('losses.f32', 1).map((values) => values[0]),
    weights: readSteps('trained-weights.f32', layout.weightsSize),
    statistics: readSteps('trained-statistics.f32', layout.statisticsSize),
  };
}
