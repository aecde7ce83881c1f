// Everything that training changes: weights, optimizer state, moving statistics, and the sums from which metrics are
// computed.
import { totalStepsOf } from '../../shared/config/config.js';
import { LockstepError } from '../../shared/errors.js';
import { weightsSha256 } from '../../shared/network/layout-hash.js';
import { WeightsEncoder, type StepWeights } from '../connections/step-weights.js';
import { PublishedWeights, type PublishedState } from '../encoding/published-weights.js';
import { areFinite } from '../optimizer/finite.js';
import { LookAhead } from '../optimizer/look-ahead.js';
import { MomentumSgd } from '../optimizer/momentum-sgd.js';
import { applyFoldedStatistics, updateMovingStatistics } from '../../shared/optimizer/moving-statistics.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { OuterSgd } from '../optimizer/outer-sgd.js';
import type { RunProgress, SavedState } from '../run/checkpoints/checkpoint.js';
import type { Checkpoint } from '../run/checkpoints/load-checkpoint.js';
import { addSums, metricsOf, noSums, type BatchSums, type Metrics } from '../run/metrics.js';
import type { InitialState } from '../run/checkpoints/pretrained-weights.js';
import type { RunSetup } from '../run/run-setup.js';
import { notFiniteSum, notFiniteWeights } from './assert-finite.js';
import type { CollectedGradient } from './gradient-job.js';

export class TrainingState implements SavedState {
  /** Number of updates made. */
  step = 0;
  /** Number of training images processed so far, over all epochs. */
  imagesSeen = 0;
  /** Sums from which the loss and accuracy of the current epoch are computed. */
  epochSums: BatchSums = noSums;
  /** Result of the last validation; null before the first. */
  validation: RunProgress['validation'] = null;
  readonly optimizer: Optimizer;
  readonly movingStatistics: Float32Array;
  /** The weights that workers have; undefined if the run's encoding is float32. */
  readonly published: PublishedWeights | undefined;
  readonly #setup: RunSetup;
  readonly #encoder = new WeightsEncoder();

  /**
   * @param start initial state; copied
   * @param published published weights; by default, the initial weights
   */
  constructor(setup: RunSetup, start: InitialState, published?: PublishedState) {
    this.#setup = setup;
    this.optimizer = createOptimizer(setup, start.weights);
    this.movingStatistics = start.movingStatistics.slice();
    if (setup.config.encoding === 'float32') return;
    this.published = new PublishedWeights(
      setup.layout,
      published ?? { weights: start.weights, gradientScales: undefined },
    );
  }

  /** Returns the state that a checkpoint contains. Throws `bad-checkpoint` if it is another optimizer's. */
  static resumed(setup: RunSetup, checkpoint: Checkpoint): TrainingState {
    const state = new TrainingState(setup, checkpoint, checkpoint.published);
    state.#resume(checkpoint);
    return state;
  }

  #resume({ path, step, optimizerState, progress }: Checkpoint): void {
    this.step = step;
    for (const [name, values] of Object.entries(this.optimizerState)) {
      const saved = optimizerState[name];
      if (saved === undefined) {
        throw new LockstepError(
          'bad-checkpoint',
          `${path} has no optimizer state "${name}": the checkpoint was saved with a different optimizer`,
        );
      }
      values.set(saved);
    }
    this.imagesSeen = progress.imagesSeen;
    this.epochSums = progress.epochSums;
    this.validation = progress.validation;
  }

  get weights(): Float32Array {
    return this.optimizer.weights;
  }

  get optimizerState(): Readonly<Record<string, Float32Array>> {
    return this.optimizer.state;
  }

  /** Whether every weight is finite. Only finite states may be saved. */
  get isFinite(): boolean {
    return areFinite(this.weights);
  }

  get weightsSha256(): string {
    return weightsSha256(this.weights, this.movingStatistics);
  }

  encodeWeights(): StepWeights {
    return this.#encoder.encode(this.step, this.weights, this.movingStatistics, this.published);
  }

  /**
   * Makes the update of a round in place, and publishes it. Throws `diverged` if the gradient sum is not finite, or if a
   * new weight is not finite; in the latter case, the weights have already changed.
   * @param learningRate learning rate of the round's last step
   * @param steps number of steps in the round: 1 unless the run has local steps
   */
  update(gradient: CollectedGradient, learningRate: number, steps = 1): void {
    const { config, layout, store } = this.#setup;
    const { gradientSum, maxima, sampleCount, slices } = gradient;
    const position = { step: this.step + steps, totalSteps: totalStepsOf(config, store.stepsPerEpoch) };
    const update = this.optimizer.step(gradientSum, sampleCount, learningRate, position);
    if (update === 'sum-not-finite') throw notFiniteSum(this.step, gradientSum, layout);
    if (update === 'weights-not-finite') throw notFiniteWeights(this.step, this.weights, layout);
    const statistics = slices.map(({ batchStatistics }) => batchStatistics);
    if (config.localSteps === 1) updateMovingStatistics(this.movingStatistics, statistics, config.bnMomentum);
    else applyFoldedStatistics(this.movingStatistics, statistics, config.bnMomentum, steps);
    const isShort = steps < Math.min(config.localSteps, store.stepsPerEpoch);
    this.published?.follow(this.weights, this.step, maxima, isShort);
    if (this.step % store.stepsPerEpoch === 0) this.epochSums = noSums;
    this.step += steps;
  }

  /**
   * Adds a round's results to the epoch's sums and to the number of images seen.
   * @returns the round's metrics
   */
  record({ sampleCount, slices }: CollectedGradient): Metrics {
    const sums = slices.reduce<BatchSums>(
      (sum, { lossSum, correctCount }) => addSums(sum, { sampleCount: 0, lossSum, correctCount }),
      { ...noSums, sampleCount },
    );
    this.epochSums = addSums(this.epochSums, sums);
    this.imagesSeen += sampleCount;
    return metricsOf([sums]);
  }
}

function createOptimizer({ config, layout }: RunSetup, weights: Float32Array): Optimizer {
  if (config.localSteps > 1) return new OuterSgd(layout, config, weights);
  const sgd = new MomentumSgd(layout, config, weights);
  return config.lookAhead === null ? sgd : new LookAhead(sgd, config.lookAhead, layout.weights);
}
