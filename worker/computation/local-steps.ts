// Takes the local steps of one round on one slice. The result is a pure function of the weights at the start of the round,
// the run, the step and the slice, so it does not depend on which worker computes it.
import { machineMs } from '../../shared/clock.js';
import { totalStepsOf } from '../../shared/config/config.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { learningRateAt, type RunLength } from '../../shared/optimizer/learning-rate.js';
import { MomentumUpdate } from '../../shared/optimizer/momentum-update.js';
import { updateMovingStatistics } from '../../shared/optimizer/moving-statistics.js';
import { roundEndOf } from '../../shared/optimizer/rounds.js';
import type { EngineModel, SliceResult } from '../engine.js';
import type { Run, SliceImages } from './slice-images.js';

/** A round was abandoned, because nobody needs its result. */
export class AbandonedRound extends Error {}

export class LocalSteps {
  readonly #run: Pick<Run, 'config' | 'stepsPerEpoch'>;
  readonly #length: RunLength;
  readonly #model: EngineModel;
  readonly #images: SliceImages;
  readonly #isNeeded: (step: number) => boolean;
  readonly #sgd: MomentumUpdate;
  readonly #startWeights: Float32Array;
  readonly #movingStatistics: Float32Array;
  readonly #foldedStatistics: Float32Array;

  /**
   * @param isNeeded whether the round that starts with a step is still needed; otherwise, it is abandoned after its current
   * step
   * @param module the compiled kernels of the SGD update
   */
  constructor(
    run: Pick<Run, 'config' | 'stepsPerEpoch'>,
    layout: ModelLayout,
    model: EngineModel,
    images: SliceImages,
    isNeeded: (step: number) => boolean,
    module: WebAssembly.Module,
  ) {
    this.#run = run;
    this.#length = { totalSteps: totalStepsOf(run.config, run.stepsPerEpoch), stepsPerEpoch: run.stepsPerEpoch };
    this.#model = model;
    this.#images = images;
    this.#isNeeded = isNeeded;
    this.#sgd = new MomentumUpdate(layout, run.config, module);
    this.#startWeights = new Float32Array(layout.weightsSize);
    this.#movingStatistics = new Float32Array(layout.statisticsSize);
    this.#foldedStatistics = new Float32Array(layout.statisticsSize);
  }

  /** Sets the weights with which each slice starts the round. Copies both arrays. */
  setStart(weights: Float32Array, movingStatistics: Float32Array): void {
    this.#startWeights.set(weights);
    this.#movingStatistics.set(movingStatistics);
  }

  /** Returns the first step of the round after the one that starts with `step`. */
  roundEnd(step: number): number {
    return roundEndOf(step, this.#run.config, this.#length);
  }

  /**
   * Takes the steps of the round that starts with `step`. The results are sums over the steps, except these:
   * - in place of the gradient, the difference: the weights at the start minus those at the end. A mean of differences thus
   *   plays the role of a mean gradient.
   * - the batch statistics of the steps, folded: see applyFoldedStatistics.
   *
   * Values that are not finite spread to the difference, where the coordinator detects them. Both arrays are valid until the
   * next call. Rejects with AbandonedRound if the round is no longer needed.
   */
  async takeSteps(step: number, slice: number): Promise<SliceResult & { startedMs: number }> {
    const { config } = this.#run;
    const sgd = this.#sgd;
    sgd.weights.set(this.#startWeights);
    sgd.velocity.fill(0);
    this.#foldedStatistics.fill(0);
    const sums = { sampleCount: 0, lossSum: 0, correctCount: 0, augmentMs: 0, computeMs: 0 };
    const firstBatch = await this.#images.batch(step, slice);
    const startedMs = machineMs();
    for (let each = step; each < this.roundEnd(step); each++) {
      if (!this.#isNeeded(step)) throw new AbandonedRound();
      const batch = each === step ? firstBatch : await this.#images.batch(each, slice);
      this.#model.setWeights(sgd.weights, this.#movingStatistics);
      const result = await this.#model.computeSlice(batch);
      for (const key of ['sampleCount', 'lossSum', 'correctCount', 'augmentMs', 'computeMs'] as const) {
        sums[key] += result[key];
      }
      const updateStartedMs = machineMs();
      updateMovingStatistics(this.#foldedStatistics, [result.batchStatistics], config.bnMomentum);
      sgd.gradient.set(result.gradientSum);
      sgd.apply(result.sampleCount, learningRateAt(each, config, this.#length));
      sums.computeMs += machineMs() - updateStartedMs;
    }
    return { ...sums, startedMs, gradientSum: this.#difference(), batchStatistics: this.#foldedStatistics };
  }

  /** Computes the difference in the memory of the last gradient. */
  #difference(): Float32Array {
    const { weights, gradient } = this.#sgd;
    const start = this.#startWeights;
    for (let i = 0; i < start.length; i++) gradient[i] = start[i] - weights[i];
    return gradient;
  }
}
