// With one slice, a run must match Keras: given the same weights, batches and recipe, it has the same losses and
// weights.
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { initialWeights } from '../../../../coordinator/optimizer/initial-weights.js';
import { learningRateAt } from '../../../../shared/optimizer/learning-rate.js';
import { resolveConfig, type ConfigInput } from '../../../../shared/config/config.js';
import { arrayOf } from '../../../../shared/network/layout.js';
import {
  runKeras,
  goldenSteps,
  trainWithLockstep,
  type GoldenCase,
  type KerasResults,
  type Trajectory,
} from '../../../support/keras-golden.js';
import { openTensorFlowOrReason, sayWhySkipped } from '../../../support/tensorflow.js';
import { resnetLayout } from '../../../support/resnet-layout.js';

const python = process.env['LOCKSTEP_KERAS_PYTHON'];
const opened = await openTensorFlowOrReason();
const noKeras = 'LOCKSTEP_KERAS_PYTHON names no python that has Keras and TensorFlow';
if (python === undefined) sayWhySkipped('the comparison with Keras', noKeras);

/**
 * Steps 0 to 5 use the full learning rate, later steps a tenth of it. As in Keras, the rate changes after the boundary.
 */
const small: ConfigInput = { learningRate: 0.001, learningRateBoundaries: [5] };
const small8: ConfigInput = { ...small, depth: 8 };

/**
 * A recipe with the option under test, and the changes that disable the option. With these changes, the run must
 * deviate from Keras.
 */
interface RecipeCase {
  recipe: ConfigInput;
  without?: ConfigInput;
}

// Options that have little effect in ten small steps get unrealistically large values, because the test is about their
// arithmetic, not their benefit.
const cases: Record<string, RecipeCase> = {
  'the tutorial, ResNet-20': { recipe: { ...small, depth: 20 } },
  'ResNet-32': { recipe: { ...small, learningRate: 0.0003, depth: 32 } },
  'projection shortcuts': { recipe: { ...small8, shortcut: 'projection' } },
  'weight decay': { recipe: { ...small8, weightDecay: 0.05 }, without: { weightDecay: 0 } },
  'Nesterov momentum': { recipe: { ...small8, nesterov: true }, without: { nesterov: false } },
  'the per-pixel mean': {
    recipe: { ...small8, preprocessing: 'per-pixel-mean' },
    without: { preprocessing: 'imagenet' },
  },
  'three phases of the schedule': {
    recipe: { ...small8, learningRateBoundaries: [2, 5] },
    without: { learningRateBoundaries: [3, 5] },
  },
  'label smoothing': { recipe: { ...small8, labelSmoothing: 0.1 }, without: { labelSmoothing: 0 } },
  // The preset recipes, except for their schedule and depth.
  'the paper’s preset': { recipe: { ...small8, recipe: 'paper' }, without: { preprocessing: 'imagenet' } },
  'the fast preset': {
    recipe: { ...small8, recipe: 'fast', schedule: 'piecewise' },
    without: { nesterov: false },
  },
};

// At the tutorial's learning rate, Lockstep's distance from Keras in float64 is compared with the distance between
// Keras in float32 and Keras in float64.
const tutorialRate: ConfigInput = { learningRate: 0.1, learningRateBoundaries: [5] };
const goldenCases = new Map<string, GoldenCase>([
  ...Object.entries(cases).map(([name, { recipe }]) => [name, { recipe, precision: 'float32' }] as const),
  ['at 0.1, float64', { recipe: tutorialRate, precision: 'float64' }],
  ['at 0.1, float32', { recipe: tutorialRate, precision: 'float32' }],
]);
const askedSteps = [0, 31_999, 32_000, 32_001, 47_999, 48_000, 48_001, 63_999];

describe('a run with one slice, compared with Keras,', () => {
  let keras: KerasResults;

  beforeAll(() => {
    if (typeof opened === 'string' || python === undefined) return;
    keras = runKeras(python, goldenCases, { recipe: {}, steps: askedSteps });
  }, 900_000);

  beforeEach((context) => {
    if (typeof opened === 'string') context.skip(opened);
    if (python === undefined) context.skip(noKeras);
  });

  const trainHere = (recipe: ConfigInput) => {
    if (typeof opened === 'string') throw new Error(opened);
    return trainWithLockstep(opened, recipe);
  };

  it.each(Object.entries(cases))(
    'has the same losses, weights and moving statistics: %s',
    async (name, { recipe, without }) => {
      const theirs = keras.trajectories.get(name)!;
      expect(deviationsOf(await trainHere(recipe), theirs, recipe)).toEqual([]);
      if (without === undefined) return;
      // Without the option under test, the run must deviate from Keras; otherwise ten steps would not prove that it has
      // any effect.
      expect(deviationsOf(await trainHere({ ...recipe, ...without }), theirs, recipe)).not.toEqual([]);
    },
  );

  // At the tutorial's learning rate, the first steps are chaotic: differences grow about tenfold in two steps. After 10
  // steps, any two float32 runs have diverged by a third of the distance covered. Lockstep can therefore only be
  // expected to stay as close to Keras in float64 as Keras in float32 does. Rounding may switch the first ReLU one step
  // earlier in one of the two float32 runs, depending on the processor, which puts its divergence one step ahead. So
  // the distance after the first step is compared with what rounding can change in a gradient, and each later distance
  // with twice the distance of Keras in float32 one step later. Measured on an AMD EPYC: 1.4e-3 of a step's length
  // after the first step; then 0.9 to 1.2 times the distance of Keras in float32 one step later.
  it("is as close to the float64 run as Keras's float32 run, at the tutorial's rate", async () => {
    const exact = keras.trajectories.get('at 0.1, float64')!;
    const float32 = keras.trajectories.get('at 0.1, float32')!;
    const lockstep = await trainHere(tutorialRate);
    const deviations = new Deviations();
    deviations.check('the first loss', relativeDifference(lockstep.losses[0], exact.losses[0]), 2e-6);
    const ours = lockstep.weights.map((weights, step) => distance(weights, exact.weights[step]));
    const theirs = float32.weights.map((weights, step) => distance(weights, exact.weights[step]));
    const stepLength = distance(exact.weights[1], exact.weights[0]);
    deviations.check('distance after step 0, in steps', ours[0] / stepLength, 5e-3);
    for (let step = 1; step < goldenSteps; step++) {
      deviations.check(`distance after step ${step}`, ours[step] / theirs[Math.min(step + 1, goldenSteps - 1)], 2);
    }
    expect(deviations.tooLarge).toEqual([]);
  });

  it("has the rates of Keras's PiecewiseConstantDecay around the recipe's boundaries", () => {
    const config = resolveConfig({});
    const rates = askedSteps.map((step) => learningRateAt(step, config, { totalSteps: 64_000, stepsPerEpoch: 351 }));
    expect(rates.map(Math.fround)).toEqual(keras.learningRates);
  });
});

// Rounding to float32 alone changes a gradient of these networks by 1e-3 to 5e-3 of its length: a rounding error of
// 1e-7 switches a few of the millions of ReLUs, each of which adds or removes a whole term, and the effect accumulates
// over layers and steps. At these small learning rates it accumulates slowly, so that any wrong term stands out. The
// tolerances are two to five times the measured deviations. With 8 layers, these are 1.5e-5 of the loss, 1.4e-2 of the
// distance that an array has moved since the start and 4.5e-5 of moving statistics; with 20 and 32 layers, they are
// 6e-5, 4.5e-2 and 2.4e-4. Convolution biases have an absolute tolerance, and the measured distance is 6e-8. Without
// the option under test, the movement deviates by 0.12 or more, in most cases by 0.4.
const tolerances = {
  shallow: { loss: 5e-5, movement: 0.05, statistics: 2e-4 },
  deep: { loss: 2e-4, movement: 0.1, statistics: 5e-4 },
};

/** Lists deviations from Keras that are larger than float32 rounding explains. See docs/benchmarks/keras.md. */
function deviationsOf(lockstep: Trajectory, keras: Trajectory, recipe: ConfigInput): string[] {
  const config = resolveConfig(recipe);
  const layout = resnetLayout(config);
  const tolerance = config.depth === 8 ? tolerances.shallow : tolerances.deep;
  const start = initialWeights(layout, 0);
  const deviations = new Deviations();
  deviations.check('the first loss', relativeDifference(lockstep.losses[0], keras.losses[0]), 2e-6); // rounding only
  for (let step = 0; step < goldenSteps; step++) {
    deviations.check(
      `loss of step ${step}`,
      relativeDifference(lockstep.losses[step], keras.losses[step]),
      tolerance.loss,
    );
    for (const array of layout.weights) {
      const [ours, theirs] = [arrayOf(lockstep.weights[step], array), arrayOf(keras.weights[step], array)];
      const difference = distance(ours, theirs);
      const what = `${array.name} after step ${step}`;
      // Batch norm cancels a convolution's bias: its exact gradient is 0, so both values consist of rounding errors
      // only.
      if (/conv.*bias/.test(array.name)) deviations.check(what, difference, 1e-6);
      else deviations.check(what, difference / distance(theirs, arrayOf(start, array)), tolerance.movement);
    }
    for (const array of layout.statistics) {
      const [ours, theirs] = [arrayOf(lockstep.statistics[step], array), arrayOf(keras.statistics[step], array)];
      const length = distance(theirs, new Float32Array(array.size));
      deviations.check(`${array.name} after step ${step}`, distance(ours, theirs) / length, tolerance.statistics);
    }
  }
  return deviations.tooLarge;
}

function distance(a: Float32Array, b: Float32Array): number {
  return Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0));
}

function relativeDifference(a: number, b: number): number {
  return Math.abs(a / b - 1);
}

/** Collects all deviations that exceed their tolerances, so that a failure reports every one of them. */
class Deviations {
  readonly tooLarge: string[] = [];

  check(what: string, deviation: number, tolerance: number): void {
    if (!(deviation < tolerance)) this.tooLarge.push(`${what}: ${deviation}, tolerance ${tolerance}`);
  }
}
