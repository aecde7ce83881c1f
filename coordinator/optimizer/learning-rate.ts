// The learning-rate schedule: a pure function of the step, so a resumed run needs no state for it.
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

/** Warm-up epochs for a rate that was scaled up for a large batch (Goyal et al. 2017, section 2.2). */
const warmupEpochsOfLargeBatch = 5;
/** Defaults of PyTorch's OneCycleLR: the fraction of the run in which the rate rises, and the divisors of the peak rate. */
const oneCycle = { rise: 0.3, firstDivisor: 25, lastDivisor: 25 * 10_000 };

/**
 * The learning rate of a step, counted from 0.
 *
 * During the warm-up, the rate rises linearly to its peak, or stays at `warmupRate`. After it, `piecewise` is Keras's
 * PiecewiseConstantDecay, `cosine` decays along half a cosine to 0 at the end of the run, and `constant` stays at the peak.
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
 * Keras's PiecewiseConstantDecay: divided by 10 after each boundary. As in Keras, the step that equals a boundary still has
 * the rate before it.
 */
function piecewiseRateAt(step: number, learningRate: number, boundaries: readonly number[]): number {
  const passed = boundaries.filter((boundary) => step > boundary).length;
  return learningRate / 10 ** passed;
}

/** Rises along half a cosine to the peak and falls along another, as in PyTorch. */
function oneCycleRateAt(step: number, highest: number, warmupSteps: number | null, totalSteps: number): number {
  const lastOfRise = (warmupSteps ?? oneCycle.rise * totalSteps) - 1;
  const between = (from: number, to: number, part: number) => to + (from - to) * halfCosine(part);
  if (lastOfRise > 0 && step <= lastOfRise) return between(highest / oneCycle.firstDivisor, highest, step / lastOfRise);
  return between(highest, highest / oneCycle.lastDivisor, (step - lastOfRise) / (totalSteps - 1 - lastOfRise));
}

/**
 * (1 + cos(πt)) / 2 = cos²(πt/2) for t from 0 to 1: from 1 down to 0. Computed as a Taylor series, whose additions and
 * products every machine rounds alike: Math.cos has changed between versions of V8, and the rate affects the weights.
 */
function halfCosine(t: number): number {
  const angle = (Math.PI / 2) * t;
  // At most π/4, where eleven terms are exact to the last bit.
  if (t <= 0.5) return series(1, angle, 0) ** 2;
  const complement = (Math.PI / 2) * (1 - t);
  return series(complement, complement, 1) ** 2;
}

/** The Taylor series of cosine (from power 0) or sine (from power 1). */
function series(firstTerm: number, x: number, firstPower: 0 | 1): number {
  let term = firstTerm;
  let sum = firstTerm;
  for (let power = firstPower + 2; power <= 22; power += 2) {
    term *= -(x * x) / (power * (power - 1));
    sum += term;
  }
  return sum;
}
