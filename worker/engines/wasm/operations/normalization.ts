// Batch norm with the addition and the activation that follow it.
import { activations } from '../../../../shared/network/graph.js';
import type { ActivationLayer, BatchNormLayer } from '../../../../shared/network/layers.js';
import type { BatchNormPlan } from '../memory/fixed-plan.js';
import { Tensor } from '../memory/tensor.js';
import type { PartialSums } from '../passes/pass-builder.js';
import { gridOf, originIn } from './addresses.js';
import { Operation, type ProgramContext, type Value } from './operation.js';

export interface NormalizationParts {
  layer: BatchNormLayer;
  source: Value;
  /** Value that is added to the normalized one. */
  addend: Value | null;
  activation: ActivationLayer['op'] | null;
  output: Value;
  /** Whether the output is computed again in the backward pass, instead of being stored. */
  isRecomputed: boolean;
}

/**
 * Output = activation(batch norm(source) + addend). The statistics need all images, so the output is computed in the
 * next pass, together with the operations that use it.
 */
export class Normalization extends Operation {
  readonly plan: BatchNormPlan;
  readonly activation: NormalizationParts['activation'];
  readonly source: Value;
  readonly #addend: Value | null;
  readonly #isRecomputed: boolean;
  readonly #epsilon: number;
  /** Index of the pass whose tiles the coefficients depend on. */
  #statisticsPass = -1;
  #isMaterialized = false;
  /** The recomputed output and the pass that computed it. */
  #recomputed: { tensor: Tensor; pass: number } | null = null;
  #isPrepared = false;
  #gradientPass = -1;

  constructor(
    context: ProgramContext,
    { layer, source, addend, activation, output, isRecomputed }: NormalizationParts,
  ) {
    super(context, layer, addend === null ? [source] : [source, addend], output);
    this.plan = context.fixed.batchNorms.get(layer)!;
    this.activation = activation;
    this.source = source;
    this.#addend = addend;
    this.#isRecomputed = isRecomputed;
    this.#epsilon = layer.epsilon;
  }

  forward(): void {
    if (this.#statisticsPass !== -1) return;
    const { passes, mode } = this.context;
    const { producer, pixels } = this.source;
    producer.ensureReady();
    const { tensor } = this.source;
    if (tensor === null || !passes.uses(tensor)) passes.open(pixels);
    producer.materialize();
    if (mode === 'train') this.#addStatistics();
    else this.addCoefficients(null);
  }

  /** Adds the stage that computes partial sums for the statistics. Called by `forward`, or by the source's operation. */
  #addStatistics(): void {
    const { kernels, passes } = this.context;
    const source = this.source.tensor!;
    const sums = this.takeSums();
    passes.add({
      ...this.work('batch norm'),
      tensors: [source],
      run: (block, memory) => {
        const { tile, continues } = block;
        const grid = gridOf(source.form, block);
        kernels.statisticSums(originIn(source, block, memory), sums.addressOf(tile), continues, ...grid);
      },
    });
    this.addCoefficients(sums);
  }

  /** Reserves memory for partial sums: two rows of one value per channel. */
  takeSums(): PartialSums {
    return this.context.passes.takeSums(2 * 4 * this.plan.depth);
  }

  /**
   * Adds the task that computes the coefficients: for training, from the partial sums of the open pass; for evaluation,
   * from the moving statistics.
   */
  addCoefficients(sums: PartialSums | null): void {
    const { kernels, passes, mode } = this.context;
    const { channels, depth, gamma, beta, coefficients, movingStatistics, batchStatistics } = this.plan;
    const pixels = this.source.form.height * this.source.form.width;
    const bias = this.source.producer.omittedBias;
    const parameters = [channels, depth, gamma.value, beta.value, bias, this.#epsilon, coefficients] as const;
    this.#statisticsPass = passes.index;
    passes.addTask({
      ...this.work('batch norm'),
      tensors: [],
      tiles: 1,
      run: (_tile, imageCount, partialCount) => {
        if (mode === 'evaluate') kernels.movingStatistics(...parameters, movingStatistics);
        else {
          const elements = imageCount * pixels;
          kernels.batchStatistics(sums!.addressOf(0), partialCount, elements, ...parameters, batchStatistics);
        }
      },
    });
  }

  override ensureReady(): void {
    const { passes } = this.context;
    if (passes.index === this.#statisticsPass) passes.close();
    if (!this.#isMaterialized) this.#addend?.producer.ensureReady();
  }

  override materialize(): void {
    if (this.#isMaterialized) return;
    this.#isMaterialized = true;
    this.#addend?.producer.materialize();
    this.output.tensor = new Tensor(this.output.form);
    this.#addOutput(this.output.tensor, this.activation);
  }

  /** Adds stages that compute the output, with this activation, from the source. */
  #addOutput(target: Tensor, activation: NormalizationParts['activation']): void {
    const { kernels, passes } = this.context;
    const { coefficients, depth, channels } = this.plan;
    const source = this.source.tensor!;
    const addend = this.#addend === null ? null : this.#addend.tensor!;
    passes.add({
      ...this.work('batch norm'),
      tensors: [source, target, ...(addend === null ? [] : [addend])],
      run: (block, memory) => {
        const grid = gridOf(source.form, block);
        const from = originIn(source, block, memory);
        const to = originIn(target, block, memory);
        if (activation === 'relu') {
          const around = addend === null ? 0 : originIn(addend, block, memory);
          kernels.normalize(from, coefficients, around, to, ...grid);
          return;
        }
        const row = 4 * depth;
        kernels.scaleChannels(from, coefficients + 2 * row, coefficients + 3 * row, to, ...grid);
        if (addend !== null) kernels.addTensors(to, originIn(addend, block, memory), to, ...grid);
        if (activation !== null) kernels.activate(activations.indexOf(activation), to, to, channels, ...grid);
      },
    });
  }

  override outputForBackward(): Tensor {
    if (!this.#isRecomputed) return this.output.tensor!;
    const { passes } = this.context;
    if (this.#recomputed?.pass !== passes.index) {
      this.#recomputed = { tensor: new Tensor(this.output.form), pass: passes.index };
      this.#addOutput(this.#recomputed.tensor, this.activation);
    }
    return this.#recomputed.tensor;
  }

  /** Whether another operation's kernel may apply the gradient of ReLU and compute the sums: see markPrepared. */
  get canBePrepared(): boolean {
    return this.activation === 'relu';
  }

  /** Declares that the gradient is that of the ReLU's input, and that the partial sums have been computed. */
  markPrepared(sums: PartialSums): void {
    this.#isPrepared = true;
    this.#addGradientCoefficients(sums);
  }

  /** Converts the gradient with respect to the output into that of the activation's input, and sums for the batch norm. */
  override prepareBackward(): void {
    const { gradients } = this.context;
    if (!this.output.needsGradient) return;
    if (!this.#isPrepared) {
      const sums = this.takeSums();
      if (this.canBePrepared) this.#addMask(sums);
      else this.#addActivationGradient(sums);
      this.markPrepared(sums);
    }
    if (this.#addend?.needsGradient) gradients.passThrough(this.#addend, gradients.of(this.output));
  }

  #addMask(sums: PartialSums): void {
    const { kernels, passes, gradients } = this.context;
    const gradient = gradients.exclusive(this.output);
    const activation = this.outputForBackward();
    const source = this.source.tensor!;
    const { coefficients } = this.plan;
    passes.add({
      ...this.work('batch norm gradient'),
      tensors: [gradient, activation, source],
      run: (block, memory) => {
        const { tile, continues } = block;
        const to = originIn(gradient, block, memory);
        const mask = originIn(activation, block, memory);
        const from = originIn(source, block, memory);
        const grid = gridOf(source.form, block);
        kernels.maskAndSum(to, mask, from, coefficients, sums.addressOf(tile), continues, ...grid);
      },
    });
  }

  #addActivationGradient(sums: PartialSums): void {
    const { kernels, passes, gradients } = this.context;
    const { activation } = this;
    const source = this.source.tensor!;
    if (activation !== null) {
      const input = new Tensor(this.output.form);
      this.#addOutput(input, null);
      const gradient = gradients.exclusive(this.output);
      passes.add({
        ...this.work('batch norm gradient'),
        tensors: [input, gradient],
        run: (block, memory) => {
          const to = originIn(gradient, block, memory);
          const number = activations.indexOf(activation);
          const grid = gridOf(source.form, block);
          kernels.activateGradient(number, to, originIn(input, block, memory), to, false, ...grid);
        },
      });
    }
    const gradient = gradients.of(this.output);
    passes.add({
      ...this.work('batch norm gradient'),
      tensors: [gradient, source],
      run: (block, memory) => {
        const { tile, continues } = block;
        const from = originIn(gradient, block, memory);
        const other = originIn(source, block, memory);
        const grid = gridOf(source.form, block);
        kernels.gradientSums(from, other, this.plan.coefficients, sums.addressOf(tile), continues, ...grid);
      },
    });
  }

  /** Adds the task that computes the gradients of gamma and beta and the backward coefficients. */
  #addGradientCoefficients(sums: PartialSums): void {
    const { kernels, passes } = this.context;
    const { channels, depth, coefficients, gamma, beta } = this.plan;
    const pixels = this.source.form.height * this.source.form.width;
    this.#gradientPass = passes.index;
    passes.addTask({
      ...this.work('batch norm gradient'),
      tensors: [],
      tiles: 1,
      run: (_tile, imageCount, partialCount) => {
        const elements = imageCount * pixels;
        const shape = [elements, channels, depth, coefficients] as const;
        kernels.gradientCoefficients(sums.addressOf(0), partialCount, ...shape, gamma.gradient, beta.gradient);
      },
    });
  }

  backward(): void {
    const { passes, gradients, kernels } = this.context;
    const { source } = this;
    const gradient = gradients.of(this.output);
    if (source.needsGradient) {
      if (passes.index === this.#gradientPass) passes.close();
      passes.open(source.pixels);
      const from = source.tensor!;
      gradients.contribute(source, (target, adds) => {
        passes.add({
          ...this.work('batch norm gradient'),
          tensors: [gradient, from, target],
          run: (block, memory) => {
            const other = originIn(from, block, memory);
            const to = originIn(target, block, memory);
            const grid = gridOf(from.form, block);
            const { coefficients } = this.plan;
            kernels.batchNormGradient(originIn(gradient, block, memory), other, coefficients, to, adds, ...grid);
          },
        });
      });
    }
    gradients.release(this.output);
  }
}
