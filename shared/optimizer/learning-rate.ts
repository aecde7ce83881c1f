// The learning-rate schedule: a pure function of the step, so a resumed run needs no state for it.
import type { Config } from '../config/config.js';

export type ScheduleConfig = Pick<
  Config,
  | 'schedule'
  | 'learningRate'
  | 'learningRateBoundaries'
  | 'warmupSteps'
  | 'warmupRate'
  | 'scaleLearningRate'
  | 'batchSize'
>;

export interface RunLength {
  totalSteps: number;
  stepsPerEpoch: number;
}

/**
 * Default number of warm-up epochs if the learning rate is scaled up for a large batch (Goyal et al. 2017, section
 * 2.2).
 */
const warmupEpochsOfLargeBatch = 5;
/**
 * Defaults of PyTorch's OneCycleLR: the fraction of the run during which the rate rises, and the numbers by which the
 * peak is divided to get the first and last rates.
 */
const oneCycle = { rise: 0.3, firstDivisor: 25, lastDivisor: 25 * 10_000 };
/** Jordan 2024: the fraction of the run during which the rate rises, and the first and last shares of the peak. */
const triangular = { rise: 0.23, first: 0.2, last: 0.07 };

/**
 * Returns the learning rate of a step.
 *
 * During the warm-up, the rate stays at `warmupRate` if given; otherwise, it rises linearly to its peak, starting from
 * `learningRate` if that is scaled up for a large batch, or else from 0. After the warm-up, `piecewise` is Keras's
 * PiecewiseConstantDecay, `cosine` decays along half a cosine to 0 at the end of the run, and `constant` stays at the
 * peak. `one-cycle` is PyTorch's OneCycleLR; its rising phase is the warm-up. `triangular` rises linearly from 20% of the
 * peak during the warm-up, then falls linearly to 7% (Jordan 2024, arXiv 2404.00498).
 * @param step zero-based step
 */
export function learningRateAt(step: number, config: ScheduleConfig, length: RunLength): number {
  const { schedule, batchSize, learningRate, scaleLearningRate, warmupRate } = config;
  const highest = scaleLearningRate === null ? learningRate : (learningRate * batchSize) / scaleLearningRate;
  if (schedule === 'one-cycle') return oneCycleRateAt(step, highest, config.warmupSteps, length.totalSteps);
  if (schedule === 'triangular') return triangularRateAt(step, highest, config.warmupSteps, length.totalSteps);
  const warmupSteps = warmupStepsOf(config, highest, length.stepsPerEpoch);
  if (step < warmupSteps) {
    const lowest = highest > learningRate ? learningRate : 0;
    return warmupRate ?? lowest + ((highest - lowest) * (step + 1)) / warmupSteps;
  }
  switch (schedule) {
    case 'piecewise':
      return piecewiseRateAt(step, highest, config.learningRateBoundaries);
    case 'cosine':
      return highest * halfCosine((step - warmupSteps) / (length.totalSteps - warmupSteps));
    case 'constant':
      return highest;
    default:
      return schedule satisfies never;
  }
}

function warmupStepsOf({ warmupSteps, learningRate }: ScheduleConfig, highest: number, stepsPerEpoch: number): number {
  if (warmupSteps !== null) return warmupSteps;
  return highest > learningRate ? warmupEpochsOfLargeBatch * stepsPerEpoch : 0;
}

/**
 * Keras's PiecewiseConstantDecay: the rate is divided by 10 after each boundary. As in Keras, the step whose number
 * equals a boundary still uses the previous rate.
 */
function piecewiseRateAt(step: number, learningRate: number, boundaries: readonly number[]): number {
  const passed = boundaries.filter((boundary) => step > boundary).length;
  return learningRate / 10 ** passed;
}

/** PyTorch's OneCycleLR: the rate rises to the peak along half a cosine, then falls along another. */
function oneCycleRateAt(step: number, highest: number, warmupSteps: number | null, totalSteps: number): number {
  const lastOfRise = (warmupSteps ?? oneCycle.rise * totalSteps) - 1;
  const between = (from: number, to: number, part: number) => to + (from - to) * halfCosine(part);
  if (lastOfRise > 0 && step <= lastOfRise) return between(highest / oneCycle.firstDivisor, highest, step / lastOfRise);
  return between(highest, highest / oneCycle.lastDivisor, (step - lastOfRise) / (totalSteps - 1 - lastOfRise));
}

function triangularRateAt(step: number, highest: number, warmupSteps: number | null, totalSteps: number): number {
  const peak = warmupSteps ?? triangular.rise * totalSteps;
  const between = (from: number, to: number, part: number) => highest * (from + (to - from) * part);
  if (step < peak) return between(triangular.first, 1, step / peak);
  return between(1, triangular.last, (step - peak) / (totalSteps - peak));
}

/**
 * Returns (1 + cos(πt)) / 2 = cos²(πt / 2), which falls from 1 to 0 as t goes from 0 to 1. The learning rate affects
 * the weights, so every machine must compute the same bits: a Taylor series needs only basic arithmetic, which is
 * rounded identically everywhere, whereas Math.cos has changed between V8 versions.
 */
function halfCosine(t: number): number {
  const angle = (Math.PI / 2) * t;
  // Both series are evaluated at angles of at most π/4, where they are accurate to float64 precision.
  if (t <= 0.5) return series(1, angle, 0) ** 2;
  const complement = (Math.PI / 2) * (1 - t);
  return series(complement, complement, 1) ** 2;
}

/** Evaluates the Taylor series of the cosine (`firstPower` 0) or sine (`firstPower` 1) of `x`, up to power 22. */
function series(firstTerm: number, x: number, firstPower: 0 | 1): number {
  let term = firstTerm;
  let sum = firstTerm;
  for (let power = firstPower + 2; power <= 22; power += 2) {
    term *= -(x * x) / (power * (power - 1));
    sum += term;
  }
  return sum;
}
