// The schedule of a run: its length, the ends of epochs, the steps after which checkpoints are saved, and learning
// rates. Pure.
import { totalStepsOf, type Config } from '../../shared/config/config.js';
import { learningRateAt } from '../optimizer/learning-rate.js';

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

  /** Returns whether a checkpoint is due after `step` updates. */
  isCheckpointDue(step: number): boolean {
    return this.isEpochEnd(step) || step % (this.#config.checkpointEvery ?? Infinity) === 0;
  }

  /** Returns the learning rate for the update that follows `step` updates. */
  learningRateAt(step: number): number {
    return learningRateAt(step, this.#config, this);
  }
}
