// When things happen in a run: its length, the ends of its epochs, when checkpoints are due, and the learning rate. Pure.
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

  /** The epoch of the last of `step` updates, counted from 1. */
  epochOf(step: number): number {
    return Math.max(1, Math.ceil(step / this.stepsPerEpoch));
  }

  get totalEpochs(): number {
    return Math.ceil(this.totalSteps / this.stepsPerEpoch);
  }

  /** Whether `step` updates end an epoch. The last epoch may be shorter than the others. */
  isEpochEnd(step: number): boolean {
    return step > 0 && (step % this.stepsPerEpoch === 0 || step === this.totalSteps);
  }

  /** Whether a checkpoint is saved after `step` updates. */
  isCheckpointDue(step: number): boolean {
    return this.isEpochEnd(step) || step % (this.#config.checkpointEvery ?? Infinity) === 0;
  }

  /** The learning rate of the update that follows `step` updates. */
  learningRateAt(step: number): number {
    return learningRateAt(step, this.#config, this);
  }
}
