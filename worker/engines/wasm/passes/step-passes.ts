// Lists of passes for training and for evaluation: input images, forward pass, head, backward pass.
import { recordFormat, type RecordFormat } from '../../../../shared/dataset/record-format.js';
import type { BlockPlan } from '../memory/fixed-plan.js';
import type { AnyTensor, Tensor } from '../memory/tensor.js';
import { BatchNormPasses } from './batch-norm-passes.js';
import { ConvolutionPasses } from './convolution-passes.js';
import { groupOf, layersOf, outputsOf, threadTensor, type NormalizedLayer } from './layers.js';
import { PassList, type Pass, type Stage, type StepContext } from './pass.js';

export function stepPasses(step: StepContext): Pass[] {
  return new StepPasses(step).build();
}

class StepPasses {
  readonly #step: StepContext;
  readonly #list: PassList;
  readonly #batchNorm: BatchNormPasses;
  readonly #convolution: ConvolutionPasses;
  readonly #layers: readonly NormalizedLayer[];
  readonly #format: RecordFormat;
  /** Outputs of the stem and of each block. */
  readonly #outputs: readonly Tensor[];

  constructor(step: StepContext) {
    this.#step = step;
    this.#format = recordFormat(step.fixed.layout.data);
    this.#list = new PassList(step.imageCount);
    this.#batchNorm = new BatchNormPasses(step, this.#list);
    this.#convolution = new ConvolutionPasses(step, this.#list, this.#batchNorm);
    this.#layers = layersOf(step.fixed, step.tensors);
    this.#outputs = outputsOf(step.tensors);
  }

  build(): Pass[] {
    this.#addForward();
    if (this.#step.mode === 'train') this.#addBackward();
    return this.#list.passes;
  }

  #addForward(): void {
    let before = this.#images();
    let input: AnyTensor = this.#step.tensors.images;
    for (const [index, layer] of this.#layers.entries()) {
      const isFirstOfBlock = index % 2 === 1;
      const shortcut = isFirstOfBlock ? this.#shortcut((index - 1) / 2) : [];
      const convolution = this.#convolution.forward(layer, input);
      this.#list.addOverImages(layer.activation.size, [...before, ...shortcut, ...convolution]);
      this.#batchNorm.addStatistics(layer);
      before = [this.#batchNorm.normalize(layer)];
      input = layer.activation;
    }
    const last = this.#outputs.at(-1)!;
    this.#list.addOverImages(last.size, [...before, this.#head(last)]);
  }

  #images(): Stage[] {
    const { kernels, fixed, tensors, hasPixelMeans } = this.#step;
    const { records, augmentations, images } = tensors;
    const { labelBytes, channels: colors } = this.#format;
    const { preprocessedValues, pixelMeans, pixelDivisors } = fixed;
    const work = { phase: 'images', group: 'stem' } as const;
    const fill: Stage['run'] = ({ first, count }) =>
      kernels.fillImages(
        records,
        labelBytes,
        colors,
        augmentations,
        preprocessedValues,
        images.address,
        images.size,
        first,
        count,
      );
    const subtractMeans: Stage['run'] = ({ first, count }) =>
      kernels.centerImages(images.address, pixelMeans, pixelDivisors, images.size, first, count);
    return [{ ...work, run: fill }, ...(hasPixelMeans ? [{ ...work, run: subtractMeans }] : [])];
  }

  /** Computes the shortcut of a downsampling block. Other blocks add their unchanged input and need no stage. */
  #shortcut(index: number): Stage[] {
    const plan = this.#step.fixed.blocks[index];
    const target = this.#step.tensors.blocks[index].shortcut;
    if (target === null) return [];
    const input = this.#outputs[index];
    const { projection } = plan;
    const work = { phase: 'shortcut', group: groupOf(plan) } as const;
    if (projection) return [this.#convolution.direct(work, projection, input, target, projection.bias)];
    const { address, size, channels } = target;
    const run: Stage['run'] = ({ first, count }) =>
      this.#step.kernels.copyNarrowed(input.address, input.size, address, size, channels, first, count);
    return [{ ...work, run }];
  }

  /** Computes pooling, the dense layer and the loss. */
  #head({ address, size, channels }: Tensor): Stage {
    const { kernels, fixed, tensors, mode } = this.#step;
    const { pooled, logitGradients, losses, correct, records } = tensors;
    const { kernel, bias } = fixed.dense;
    const labelSmoothing = mode === 'train' ? this.#step.labelSmoothing : 0;
    const { classCount, recordBytes, labelBytes } = this.#format;
    const from = [pooled, channels, classCount, kernel, bias, records, recordBytes, labelBytes] as const;
    const outputs = [logitGradients, losses, correct] as const;
    return {
      phase: 'head',
      group: 'head',
      run: ({ first, count }) => {
        kernels.pool(address, pooled, size, channels, first, count);
        kernels.classify(...from, labelSmoothing, ...outputs, first, count);
      },
    };
  }

  #addBackward(): void {
    const { blocks } = this.#step.fixed;
    const { sum } = this.#step.tensors.gradients.at(-1)!;
    const last = this.#layers.at(-1)!;
    this.#addDenseGradient(last.convolved);
    this.#list.addOverImages(last.convolved.size, [this.#poolGradient(sum), this.#batchNorm.mask(last, sum)]);
    for (let index = blocks.length - 1; index >= 0; index--) this.#addBlockBackward(blocks[index], index);
    this.#addStemBackward();
  }

  #addDenseGradient({ channels }: Tensor): void {
    const { kernels, fixed, tensors, imageCount } = this.#step;
    const { pooled, logitGradients } = tensors;
    const { kernelGradient, biasGradient } = fixed.dense;
    const { classCount } = this.#format;
    this.#list.add({ phase: 'head', group: 'head' }, 1, () =>
      kernels.denseGradient(pooled, logitGradients, channels, classCount, imageCount, kernelGradient, biasGradient),
    );
  }

  #poolGradient({ address, size, channels }: Tensor): Stage {
    const { kernels, fixed, tensors } = this.#step;
    const { kernel } = fixed.dense;
    const { classCount } = this.#format;
    const run: Stage['run'] = ({ first, count }) =>
      kernels.spreadPoolGradient(tensors.logitGradients, classCount, kernel, address, size, channels, first, count);
    return { phase: 'head', group: 'head', run };
  }

  #addBlockBackward(plan: BlockPlan, index: number): void {
    const { gradients } = this.#step.tensors;
    const [preceding, layer1, layer2] = this.#layers.slice(2 * index, 2 * index + 3);
    const { conv1, conv2, projection } = plan;
    const input = this.#outputs[index];
    const { sum, first } = gradients[plan.group - 1];
    const { size } = sum;
    /** Gradient with respect to a convolution's output. */
    const convolved = threadTensor('gradients', plan.group, sum);

    this.#batchNorm.addGradientCoefficients(layer2);
    this.#list.addOverImages(size, [
      this.#batchNorm.normalizeGradient(layer2, sum, convolved),
      this.#batchNorm.normalize(layer1),
      this.#convolution.filterGradient(layer2.group, conv2, layer1.activation, convolved),
      ...this.#convolution.inputGradient(layer2, convolved, first, null, layer1),
    ]);
    this.#convolution.addFilterGradientEnd(layer2.group, conv2);

    this.#batchNorm.addGradientCoefficients(layer1);
    const toFilter = [
      this.#batchNorm.normalizeGradient(layer1, first, convolved),
      this.#convolution.filterGradient(layer1.group, conv1, input, convolved),
    ];
    if (conv1.layer.stride === 1) {
      const toInput = this.#convolution.inputGradient(layer1, convolved, sum, sum, preceding);
      this.#list.addOverImages(size, [...toFilter, ...toInput]);
    } else {
      const inputSum = gradients[plan.group - 2].sum;
      this.#list.addOverImages(size, [
        ...toFilter,
        this.#convolution.directInputGradient(layer1.group, conv1, convolved, inputSum, false),
        ...this.#shortcutGradient(plan, sum, input, inputSum),
        this.#batchNorm.mask(preceding, inputSum),
      ]);
    }
    this.#convolution.addFilterGradientEnd(layer1.group, conv1);
    if (projection === null) return;
    this.#convolution.addFilterGradientEnd(layer1.group, projection);
    this.#convolution.addBiasGradient(layer1.group, projection, sum);
  }

  /** Adds the gradient from a downsampling block's shortcut to the gradient with respect to the block's input. */
  #shortcutGradient(plan: BlockPlan, gradient: Tensor, input: Tensor, target: Tensor): Stage[] {
    const { projection } = plan;
    const group = groupOf(plan);
    if (projection) {
      return [
        this.#convolution.filterGradient(group, projection, input, gradient),
        this.#convolution.directInputGradient(group, projection, gradient, target, true),
      ];
    }
    const { address, size, channels } = gradient;
    const run: Stage['run'] = ({ first, count }) =>
      this.#step.kernels.addWidened(address, target.address, target.size, size, channels, first, count);
    return [{ phase: 'shortcut', group, run }];
  }

  #addStemBackward(): void {
    const { images, gradients } = this.#step.tensors;
    const [stem] = this.#layers;
    const { sum } = gradients[0];
    const convolved = threadTensor('gradients', 1, sum);
    this.#batchNorm.addGradientCoefficients(stem);
    this.#list.addOverImages(sum.size, [
      this.#batchNorm.normalizeGradient(stem, sum, convolved),
      this.#convolution.filterGradient('stem', stem.conv, images, convolved),
    ]);
    this.#convolution.addFilterGradientEnd('stem', stem.conv);
  }
}
