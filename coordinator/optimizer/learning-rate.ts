// The global learning-rate schedule: a pure function of the step, so that a resumed run needs no state of it.
import type { Config } from '../../shared/config/config.js';

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

/** Epochs in which a rate that was raised for a large batch is reached (Goyal et al. 2017, section 2.2). */
const warmupEpochsOfLargeBatch = 5;
/** PyTorch's OneCycleLR: the part of the run in which the rate rises, and its first and last rate below the highest. */
const oneCycle = { rise: 0.3, firstDivisor: 25, lastDivisor: 25 * 10_000 };

/**
 * The rate of a step, counted from 0.
 *
 * During the warm-up it rises in equal steps to the highest one, or stays at warmupRate. After it `piecewise` is Keras's
 * PiecewiseConstantDecay, `cosine` falls along half a cosine to 0 at the end of the run, and `constant` stays.
 * `one-cycle` is PyTorch's OneCycleLR, whose rise is the warm-up.
 */
export function learningRateAt(step: number, config: ScheduleConfig, length: RunLength): number {
  const { schedule, batchSize, learningRate, scaleLearningRate, warmupRate } = config;
  const highest = scaleLearningRate === null ? learningRate : (learningRate * batchSize) / scaleLearningRate;
  if (schedule === 'one-cycle') return oneCycleRateAt(step, highest, config.warmupSteps, length.totalSteps);
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
 * Keras's PiecewiseConstantDecay: the rate before the first boundary, divided by 10 behind each one. Keras moves on when
 * the step is GREATER than the boundary, so the step that equals a boundary still has the rate before it.
 */
function piecewiseRateAt(step: number, learningRate: number, boundaries: readonly number[]): number {
  const passed = boundaries.filter((boundary) => step > boundary).length;
  return learningRate / 10 ** passed;
}

/** Along half a cosine up to the highest rate and down again, as PyTorch does: the last step of each way is its end. */
function oneCycleRateAt(step: number, highest: number, warmupSteps: number | null, totalSteps: number): number {
  const lastOfRise = (warmupSteps ?? oneCycle.rise * totalSteps) - 1;
  const between = (from: number, to: number, part: number) => to + (from - to) * halfCosine(part);
  if (lastOfRise > 0 && step <= lastOfRise) return between(highest / oneCycle.firstDivisor, highest, step / lastOfRise);
  return between(highest, highest / oneCycle.lastDivisor, (step - lastOfRise) / (totalSteps - 1 - lastOfRise));
}

/**
 * (1 + cos(πt)) / 2 = cos²(πt/2) for t from 0 to 1: from 1 down to 0. By Taylor's series, whose additions and products
 * every machine rounds alike: Math.cos has changed between versions of V8, and the rate is part of a run's bits.
 */
function halfCosine(t: number): number {
  const angle = (Math.PI / 2) * t;
  // of π/4 at most, where eleven terms are exact to the last bit
  if (t <= 0.5) return series(1, angle, 0) ** 2;
  const complement = (Math.PI / 2) * (1 - t);
  return series(complement, complement, 1) ** 2;
}

/** The cosine's series (from the power 0) or the sine's (from 1), by its first term. */
function series(firstTerm: number, x: number, firstPower: 0 | 1): number {
  let term = firstTerm;
  let sum = firstTerm;
  for (let power = firstPower + 2; power <= 22; power += 2) {
    term *= -(x * x) / (power * (power - 1));
    sum += term;
  }
  return sum;
}
