// The schedule of a run: its length, the ends of rounds and epochs, the steps after which checkpoints are saved, and
// learning rates. Pure.
import { totalStepsOf, type Config } from '../../shared/config/config.js';
import { learningRateAt } from '../../shared/optimizer/learning-rate.js';
import { roundEndOf } from '../../shared/optimizer/rounds.js';

export class RunSchedule {
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
  readonly #config: Config;

  constructor(config: Config, stepsPerEpoch: number) {
    this.totalSteps = totalStepsOf(config, stepsPerEpoch);
    this.stepsPerEpoch = stepsPerEpoch;
    this.#config = config;
  }

  /** Returns the one-based epoch of the last of `step` updates; 1 before the first update. */
  epochOf(step: number): number {
    return Math.max(1, Math.ceil(step / this.stepsPerEpoch));
  }

  get totalEpochs(): number {
    return Math.ceil(this.totalSteps / this.stepsPerEpoch);
  }

  /** Returns whether an epoch ends after `step` updates. The last epoch may be shorter than the others. */
  isEpochEnd(step: number): boolean {
    return step > 0 && (step % this.stepsPerEpoch === 0 || step === this.totalSteps);
  }

  /** Returns the number of steps made at the end of the round that follows `step` steps: see roundEndOf. */
  roundEnd(step: number): number {
    return roundEndOf(step, this.#config, this);
  }

  /**
   * Returns whether a checkpoint is due after `step` steps: at the end of an epoch, and in the round with every Nth step.
   * @param before number of steps at the start of the round that has ended
   */
  isCheckpointDue(step: number, before: number): boolean {
    const every = this.#config.checkpointEvery ?? Infinity;
    return this.isEpochEnd(step) || Math.floor(step / every) > Math.floor(before / every);
  }

  /** Returns the learning rate for the update that follows `step` updates. */
  learningRateAt(step: number): number {
    return learningRateAt(step, this.#config, this);
  }
}
