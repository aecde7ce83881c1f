// A training step and an evaluation as lists of passes. A pass is cut into parts that do not depend on each other, so
// threads may share them out; the next pass begins when all parts are done. How a pass is cut depends on the model and
// the number of images alone, never on the number of threads, so neither do the bits.
import type { Images, Kernels, Walk } from './kernels.js';
import type {
  BatchNormPlan,
  BlockPlan,
  ConvPlan,
  FixedPlan,
  PassingTensor,
  Tensor,
  TensorPlan,
  ThreadMemory,
} from './memory-plan.js';
import { addressOf, firstPixel, imagesOfBlock, maxTiles, winogradSumBytes } from './memory-plan.js';

export type Phase =
  | 'weights'
  | 'images'
  | 'convolution'
  | 'batch norm'
  | 'shortcut'
  | 'head'
  | 'input gradient'
  | 'filter gradient'
  | 'batch norm gradient';

/** Which layers something belongs to. */
export type LayerGroup = 'stem' | 'group 1' | 'group 2' | 'group 3' | 'head' | 'all';

/** What a profile is told: that a stage of a part is done. */
export interface Work {
  phase: Phase;
  group: LayerGroup;
}

export interface Pass {
  parts: number;
  /**
   * @param memory the calling thread's own
   * @param done called after each stage
   */
  run(part: number, memory: ThreadMemory, done?: (work: Work) => void): void;
}

/** Raised when the cut into parts or the order of additions changes: they are part of the bits. */
export const passesVersion = 1;

/** A part has at least so many pixels of each channel: one of fewer takes longer to write its sums than to make them. */
const minPixelsOfTile = 512;

/** Some images of a part. */
interface ImageBlock {
  images: Images;
  /** The number of the part, whose sums this block's are added to. */
  part: number;
  /** Whether blocks of the part came before. */
  continues: boolean;
}

/** What a pass does with each block. */
interface Stage extends Work {
  run(block: ImageBlock, memory: ThreadMemory): void;
}

function blocksOf(images: number, ofBlock: number): number[] {
  return Array.from({ length: Math.ceil(images / ofBlock) }, (_, index) => Math.min(ofBlock, images - index * ofBlock));
}

/** At most maxTiles runs of equally many images, the last of which may have fewer, each as its blocks. */
function cutImages(count: number, size: number): ImageBlock[][] {
  const imagesOfPart = Math.max(Math.ceil(count / maxTiles), Math.ceil(minPixelsOfTile / size ** 2));
  let next = 0;
  return blocksOf(count, imagesOfPart).map((partCount, part) =>
    blocksOf(partCount, imagesOfBlock(size)).map((blockCount, index) => {
      const first = next;
      next += blockCount;
      return { images: [first, blockCount], part, continues: index > 0 };
    }),
  );
}

/** Pixel (row, column) of the tensor at this address, then every stride-th. */
function walk(tensor: Tensor | PassingTensor, address: number, stride = 1, row = 0, column = 0): Walk {
  const { size, channels } = tensor;
  const pixelBytes = 4 * channels;
  const rowBytes = (size + 2) * pixelBytes;
  const start = firstPixel(address, tensor) + row * rowBytes + column * pixelBytes;
  return [start, (size + 2) * rowBytes, stride * rowBytes, stride * pixelBytes];
}

/** @param group 1 to 3 @param like a tensor of its shape */
function passingOf(of: PassingTensor['of'], group: number, { size, channels }: Tensor): PassingTensor {
  return { of, group: group - 1, size, channels };
}

function groupOf(plan: BlockPlan): LayerGroup {
  return `group ${plan.group as 1 | 2 | 3}`;
}

/** All convolutions of a model. */
export function convolutionsOf({ stem, blocks }: FixedPlan): ConvPlan[] {
  return [
    stem.conv,
    ...blocks.flatMap(({ conv1, conv2, projection }) => [conv1, conv2, ...(projection ? [projection] : [])]),
  ];
}

/** Passes over the weights, once for all slices that are computed with them. */
export function weightPasses(kernels: Kernels, plan: FixedPlan): Pass[] {
  const convolutions = convolutionsOf(plan);
  const run: Pass['run'] = (part, { scratch }, done) => {
    const { layer, depth, kernel, winograd, forward, inputGradient } = convolutions[part];
    const { inputChannels: inputs, outputChannels: outputs } = layer;
    if (winograd) kernels.transformFilters(kernel, inputs, 0, inputs, winograd.forward, winograd.turned, scratch);
    if (forward) {
      const { elements, count, weights } = forward;
      kernels.packWeights(kernel, elements, count, inputs, depth, outputs, outputs, 1, weights);
    }
    for (const { taps } of inputGradient) {
      const { elements, count, weights } = taps;
      kernels.packWeights(kernel, elements, count, outputs, outputs, 1, inputs, outputs, weights);
    }
    done?.({ phase: 'weights', group: 'all' });
  };
  return [{ parts: convolutions.length, run }];
}

/** Where a batch norm is, and what it reads and gives. */
interface NormPlace {
  plan: BatchNormPlan;
  group: LayerGroup;
  /** The convolution before it, and that one's output. */
  conv: ConvPlan;
  convolved: Tensor;
  /** What is added before the ReLU. */
  shortcut: Tensor | null;
  /** The ReLU's output. That of a block's first batch norm is not kept, but computed again on the way back. */
  activation: Tensor | PassingTensor;
}

/** What the passes depend on beside the layout. */
export interface PassOptions {
  /** The part of a label that training spreads over all classes; evaluation leaves labels as they are. */
  labelSmoothing: number;
  /** Whether each pixel has a mean of its own. */
  centresPixels: boolean;
}

/** The passes of one number of images. */
export class PassBuilder {
  readonly #kernels: Kernels;
  readonly #fixed: FixedPlan;
  readonly #tensors: TensorPlan;
  readonly #count: number;
  readonly #isTraining: boolean;
  readonly #options: PassOptions;
  readonly #passes: Pass[] = [];
  /** Parts of the pass that made batch norm's sums last. */
  #sumParts = 0;

  constructor(
    kernels: Kernels,
    fixed: FixedPlan,
    tensors: TensorPlan,
    { count, mode, ...options }: PassOptions & { count: number; mode: 'train' | 'evaluate' },
  ) {
    this.#kernels = kernels;
    this.#fixed = fixed;
    this.#tensors = tensors;
    this.#count = count;
    this.#isTraining = mode === 'train';
    this.#options = options;
  }

  build(): Pass[] {
    const norms = this.#norms();
    this.#forward(norms);
    if (this.#isTraining) this.#backward(norms);
    return this.#passes;
  }

  /** The batch norms in the order of the forward pass: the stem's, then two for each block. */
  #norms(): NormPlace[] {
    const { stem, blocks } = this.#fixed;
    const { stem: stemTensors, blocks: blockTensors } = this.#tensors;
    const norms: NormPlace[] = [
      {
        plan: stem.bn,
        group: 'stem',
        conv: stem.conv,
        convolved: stemTensors.convolved,
        shortcut: null,
        activation: stemTensors.output,
      },
    ];
    let input = stemTensors.output;
    for (const [index, plan] of blocks.entries()) {
      const group = groupOf(plan);
      const { convolved1, convolved2, shortcut, output } = blockTensors[index];
      const activation1 = passingOf('activations', plan.group, output);
      norms.push(
        { plan: plan.bn1, group, conv: plan.conv1, convolved: convolved1, shortcut: null, activation: activation1 },
        {
          plan: plan.bn2,
          group,
          conv: plan.conv2,
          convolved: convolved2,
          shortcut: shortcut ?? input,
          activation: output,
        },
      );
      input = output;
    }
    return norms;
  }

  /** A pass that takes each block of images of this size through all stages. */
  #overImages(size: number, stages: readonly Stage[]): void {
    const parts = cutImages(this.#count, size);
    this.#sumParts = parts.length;
    this.#passes.push({
      parts: parts.length,
      run: (part, memory, done) => {
        for (const block of parts[part]) {
          for (const stage of stages) {
            stage.run(block, memory);
            done?.(stage);
          }
        }
      },
    });
  }

  /** A pass of parts that are not images. */
  #overParts(work: Work, parts: number, run: (part: number, memory: ThreadMemory) => void): void {
    this.#passes.push({
      parts,
      run: (part, memory, done) => {
        run(part, memory);
        done?.(work);
      },
    });
  }

  #forward(norms: readonly NormPlace[]): void {
    const { blocks } = this.#fixed;
    const { images } = this.#tensors;
    const outputs = this.#outputs();
    let before: Stage[] = this.#fillImages();
    let input: Tensor | PassingTensor = images;
    for (const [index, norm] of norms.entries()) {
      const block = index % 2 === 1 ? blocks[(index - 1) / 2] : null;
      const shortcut = norms[index + 1]?.shortcut;
      const around =
        block && block.conv1.layer.stride > 1 ? [this.#shortcut(block, outputs[(index - 1) / 2], shortcut!)] : [];
      this.#overImages(norm.activation.size, [...before, ...around, ...this.#convolution(norm, input)]);
      this.#statistics(norm);
      before = [this.#normalize(norm)];
      input = norm.activation;
    }
    const last = outputs.at(-1)!;
    this.#overImages(last.size, [...before, this.#classify(last)]);
  }

  /** What the stem and each block give: a block's input is the output before its own. */
  #outputs(): Tensor[] {
    const { stem, blocks } = this.#tensors;
    return [stem.output, ...blocks.map(({ output }) => output)];
  }

  #fillImages(): Stage[] {
    const kernels = this.#kernels;
    const { records, views, images } = this.#tensors;
    const { preprocessedValues, pixelMeans, pixelDivisors } = this.#fixed;
    const work = { phase: 'images', group: 'stem' } as const;
    const fill: Stage = {
      ...work,
      run: (block) => kernels.fillImages(records, views, preprocessedValues, images.address, ...block.images),
    };
    const centre: Stage = {
      ...work,
      run: (block) => kernels.centreImages(images.address, pixelMeans, pixelDivisors, ...block.images),
    };
    return this.#options.centresPixels ? [fill, centre] : [fill];
  }

  /** A batch norm's convolution and the sums for its statistics. A bias that batch norm takes away again is not added. */
  #convolution({ group, conv, convolved }: NormPlace, source: Tensor | PassingTensor): Stage[] {
    const kernels = this.#kernels;
    const { address, size, channels } = convolved;
    if (conv.winograd) {
      const { forward } = conv.winograd;
      const run: Stage['run'] = (block, memory) => {
        const sums = this.#sumsOf(block, channels);
        kernels.winogradForward(
          addressOf(source, block.images[0], memory),
          forward,
          address,
          sums,
          block.continues,
          size,
          channels,
          ...block.images,
          memory.scratch,
        );
      };
      return [{ phase: 'convolution', group, run }];
    }
    const run: Stage['run'] = (block) =>
      kernels.sumForStatistics(
        address,
        this.#sumsOf(block, channels),
        block.continues,
        size,
        channels,
        ...block.images,
      );
    return [
      this.#directConvolution({ phase: 'convolution', group }, conv, source, convolved, 0),
      { phase: 'batch norm', group, run },
    ];
  }

  #directConvolution(work: Work, plan: ConvPlan, source: Tensor | PassingTensor, target: Tensor, bias: number): Stage {
    const { offsets, count, weights } = plan.forward!;
    const to = walk(target, target.address);
    const { size, channels } = target;
    return {
      ...work,
      run: ({ images }, memory) =>
        this.#kernels.convolve(
          ...walk(source, addressOf(source, images[0], memory), plan.layer.stride),
          plan.depth,
          offsets,
          count,
          weights,
          bias,
          false,
          ...to,
          channels,
          size,
          ...images,
        ),
    };
  }

  #sumsOf({ part }: ImageBlock, channels: number): number {
    return this.#fixed.sums + part * 2 * 4 * channels;
  }

  /** From sums to a batch norm's coefficients. */
  #statistics({ plan, group, conv, convolved }: NormPlace): void {
    const kernels = this.#kernels;
    const { channels, gamma, beta, coefficients, batchStatistics, movingStatistics } = plan;
    const { bnEpsilon } = this.#fixed.layout.spec;
    const { sums } = this.#fixed;
    const parts = this.#sumParts;
    const elements = this.#count * convolved.size ** 2;
    const run = this.#isTraining
      ? () =>
          kernels.batchStatistics(
            sums,
            parts,
            elements,
            channels,
            gamma,
            beta,
            conv.bias,
            bnEpsilon,
            coefficients,
            batchStatistics,
          )
      : () => kernels.movingStatistics(channels, gamma, beta, conv.bias, bnEpsilon, coefficients, movingStatistics);
    this.#overParts({ phase: 'batch norm', group }, 1, run);
  }

  #normalize({ plan, group, convolved, shortcut, activation }: NormPlace): Stage {
    const { size, channels } = activation;
    return {
      phase: 'batch norm',
      group,
      run: ({ images }, memory) =>
        this.#kernels.normalize(
          convolved.address,
          plan.coefficients,
          shortcut?.address ?? 0,
          addressOf(activation, images[0], memory),
          size,
          channels,
          ...images,
        ),
    };
  }

  /** What a block that narrows adds to its second batch norm. */
  #shortcut(plan: BlockPlan, input: Tensor, target: Tensor): Stage {
    const work = { phase: 'shortcut', group: groupOf(plan) } as const;
    if (plan.projection) return this.#directConvolution(work, plan.projection, input, target, plan.projection.bias);
    const { address, size, channels } = target;
    return {
      ...work,
      run: ({ images }) => this.#kernels.copyNarrowed(input.address, address, size, channels, ...images),
    };
  }

  #classify({ address, size, channels }: Tensor): Stage {
    const kernels = this.#kernels;
    const { pooled, logitGradients, losses, correct, records } = this.#tensors;
    const { kernel, bias } = this.#fixed.dense;
    const labelSmoothing = this.#isTraining ? this.#options.labelSmoothing : 0;
    return {
      phase: 'head',
      group: 'head',
      run: ({ images }) => {
        kernels.pool(address, pooled, size, channels, ...images);
        kernels.classify(
          pooled,
          channels,
          kernel,
          bias,
          records,
          labelSmoothing,
          logitGradients,
          losses,
          correct,
          ...images,
        );
      },
    };
  }

  #backward(norms: readonly NormPlace[]): void {
    const { blocks } = this.#fixed;
    const { images, gradients } = this.#tensors;
    const outputs = this.#outputs();
    const last = norms.at(-1)!;
    this.#denseGradient(last.convolved);
    this.#overImages(last.convolved.size, [
      this.#spreadPoolGradient(gradients.at(-1)!.sum),
      this.#mask(last, gradients.at(-1)!.sum),
    ]);

    for (let index = blocks.length - 1; index >= 0; index--) {
      const plan = blocks[index];
      const [before, norm1, norm2] = norms.slice(2 * index) as [NormPlace, NormPlace, NormPlace];
      const input = outputs[index];
      const { sum, first } = gradients[plan.group - 1];
      const { size } = sum;
      // of a convolution's output
      const passing = passingOf('gradients', plan.group, sum);

      this.#gradientCoefficients(norm2);
      this.#overImages(size, [
        this.#normalizeGradient(norm2, sum, passing),
        this.#normalize(norm1),
        this.#filterGradient(norm2.group, plan.conv2, norm1.activation, passing),
        ...this.#inputGradient(norm2, passing, first, null, norm1),
      ]);
      this.#filterGradientEnd(norm2.group, plan.conv2);

      this.#gradientCoefficients(norm1);
      const toFilter = [
        this.#normalizeGradient(norm1, first, passing),
        this.#filterGradient(norm1.group, plan.conv1, input, passing),
      ];
      if (plan.conv1.layer.stride === 1) {
        this.#overImages(size, [...toFilter, ...this.#inputGradient(norm1, passing, sum, sum, before)]);
      } else {
        const inputSum = gradients[plan.group - 2].sum;
        this.#overImages(size, [
          ...toFilter,
          this.#directInputGradient(norm1.group, plan.conv1, passing, inputSum, false),
          ...this.#shortcutGradient(plan, sum, input, inputSum),
          this.#mask(before, inputSum),
        ]);
      }
      this.#filterGradientEnd(norm1.group, plan.conv1);
      if (plan.projection) this.#projectionGradientEnd(norm1.group, plan.projection, sum);
    }

    const stem = norms[0];
    const { sum } = gradients[0];
    const passing = passingOf('gradients', 1, sum);
    this.#gradientCoefficients(stem);
    this.#overImages(sum.size, [
      this.#normalizeGradient(stem, sum, passing),
      this.#filterGradient('stem', stem.conv, images, passing),
    ]);
    this.#filterGradientEnd('stem', stem.conv);
  }

  #denseGradient({ channels }: Tensor): void {
    const { pooled, logitGradients } = this.#tensors;
    const { kernelGradient, biasGradient } = this.#fixed.dense;
    this.#overParts({ phase: 'head', group: 'head' }, 1, () =>
      this.#kernels.denseGradient(pooled, logitGradients, channels, this.#count, kernelGradient, biasGradient),
    );
  }

  #spreadPoolGradient({ address, size, channels }: Tensor): Stage {
    const { logitGradients } = this.#tensors;
    const { kernel } = this.#fixed.dense;
    return {
      phase: 'head',
      group: 'head',
      run: ({ images }) => this.#kernels.spreadPoolGradient(logitGradients, kernel, address, size, channels, ...images),
    };
  }

  /** The gradient of an activation becomes that of the sum before the ReLU, and gives the batch norm's sums. */
  #mask({ plan, group, convolved, activation }: NormPlace, gradient: Tensor): Stage {
    const { address, size, channels } = gradient;
    return {
      phase: 'batch norm gradient',
      group,
      run: (block, memory) =>
        this.#kernels.maskAndSum(
          address,
          addressOf(activation, block.images[0], memory),
          convolved.address,
          plan.coefficients,
          this.#sumsOf(block, channels),
          block.continues,
          size,
          channels,
          ...block.images,
        ),
    };
  }

  /** From sums to a batch norm's gradients and backward coefficients. */
  #gradientCoefficients({ plan, group, convolved }: NormPlace): void {
    const { channels, coefficients, gammaGradient, betaGradient } = plan;
    const { sums } = this.#fixed;
    const parts = this.#sumParts;
    const elements = this.#count * convolved.size ** 2;
    this.#overParts({ phase: 'batch norm gradient', group }, 1, () =>
      this.#kernels.gradientCoefficients(sums, parts, elements, channels, coefficients, gammaGradient, betaGradient),
    );
  }

  #normalizeGradient({ plan, group, convolved }: NormPlace, gradient: Tensor, target: PassingTensor): Stage {
    const { size, channels } = gradient;
    return {
      phase: 'batch norm gradient',
      group,
      run: ({ images }, memory) =>
        this.#kernels.normalizeGradient(
          gradient.address,
          convolved.address,
          plan.coefficients,
          addressOf(target, images[0], memory),
          size,
          channels,
          ...images,
        ),
    };
  }

  /**
   * From the gradient of a convolution's output to that of the sum before the ReLU before the convolution, with the sums
   * of the batch norm there. Stride 1.
   * @param shortcut another gradient of the activation
   */
  #inputGradient(
    { group, conv }: NormPlace,
    gradient: PassingTensor,
    target: Tensor,
    shortcut: Tensor | null,
    before: NormPlace,
  ): Stage[] {
    const { size, channels } = target;
    if (!conv.winograd) {
      return [this.#directInputGradient(group, conv, gradient, target, shortcut !== null), this.#mask(before, target)];
    }
    const { turned } = conv.winograd;
    const run: Stage['run'] = (block, memory) => {
      const [first] = block.images;
      this.#kernels.winogradInputGradient(
        addressOf(gradient, first, memory),
        turned,
        target.address,
        shortcut?.address ?? 0,
        addressOf(before.activation, first, memory),
        before.convolved.address,
        before.plan.coefficients,
        this.#sumsOf(block, channels),
        block.continues,
        size,
        channels,
        ...block.images,
        memory.scratch,
      );
    };
    return [{ phase: 'input gradient', group, run }];
  }

  #directInputGradient(
    group: LayerGroup,
    plan: ConvPlan,
    gradient: Tensor | PassingTensor,
    target: Tensor,
    adds: boolean,
  ): Stage {
    const { stride } = plan.layer;
    const phases = plan.inputGradient.map(({ row, column, taps }) => ({
      taps,
      to: walk(target, target.address, stride, row, column),
    }));
    return {
      phase: 'input gradient',
      group,
      run: ({ images }, memory) => {
        const from = walk(gradient, addressOf(gradient, images[0], memory));
        for (const { taps, to } of phases) {
          this.#kernels.convolve(
            ...from,
            gradient.channels,
            taps.offsets,
            taps.count,
            taps.weights,
            0,
            adds,
            ...to,
            target.channels,
            gradient.size,
            ...images,
          );
        }
      },
    };
  }

  /** Of a block that narrows: adds the shortcut's gradient to the input's. */
  #shortcutGradient(plan: BlockPlan, gradient: Tensor, input: Tensor, target: Tensor): Stage[] {
    const { projection } = plan;
    const group = groupOf(plan);
    if (projection) {
      return [
        this.#filterGradient(group, projection, input, gradient),
        this.#directInputGradient(group, projection, gradient, target, true),
      ];
    }
    const { address, size, channels } = gradient;
    const run: Stage['run'] = ({ images }) =>
      this.#kernels.addWidened(address, target.address, size, channels, ...images);
    return [{ phase: 'shortcut', group, run }];
  }

  #projectionGradientEnd(group: LayerGroup, plan: ConvPlan, { address, size, channels }: Tensor): void {
    this.#filterGradientEnd(group, plan);
    const { biasGradient } = plan;
    if (!biasGradient) return;
    this.#overParts({ phase: 'filter gradient', group }, 1, () =>
      this.#kernels.biasGradient(address, biasGradient, channels, size, 0, this.#count),
    );
  }

  #filterSumsOf({ layer, depth, winograd, forward }: ConvPlan): { address: number; partBytes: number } {
    const { filterSums, projectionSums } = this.#fixed;
    return {
      address: layer.kernelSize === 1 ? projectionSums : filterSums,
      partBytes: winograd ? winogradSumBytes(depth) : forward!.count * depth * layer.outputChannels * 4,
    };
  }

  /** A filter gradient's sums, part by part. */
  #filterGradient(
    group: LayerGroup,
    plan: ConvPlan,
    source: Tensor | PassingTensor,
    gradient: Tensor | PassingTensor,
  ): Stage {
    const kernels = this.#kernels;
    const { size, channels } = gradient;
    const { address, partBytes } = this.#filterSumsOf(plan);
    if (plan.winograd) {
      return {
        phase: 'filter gradient',
        group,
        run: ({ part, continues, images }, memory) =>
          kernels.winogradFilterGradient(
            addressOf(source, images[0], memory),
            addressOf(gradient, images[0], memory),
            address + part * partBytes,
            continues,
            size,
            channels,
            ...images,
            memory.scratch,
          ),
      };
    }
    const { offsets, count } = plan.forward!;
    return {
      phase: 'filter gradient',
      group,
      run: ({ part, continues, images }, memory) =>
        kernels.filterGradient(
          ...walk(source, addressOf(source, images[0], memory), plan.layer.stride),
          plan.depth,
          offsets,
          count,
          addressOf(gradient, images[0], memory),
          channels,
          size,
          ...images,
          address + part * partBytes,
          continues,
        ),
    };
  }

  /** Adds the parts' sums up. */
  #filterGradientEnd(group: LayerGroup, plan: ConvPlan): void {
    const kernels = this.#kernels;
    const { layer, depth, kernelGradient } = plan;
    const { inputChannels: inputs, outputChannels: outputs } = layer;
    const { address } = this.#filterSumsOf(plan);
    const parts = this.#sumParts;
    const work = { phase: 'filter gradient', group } as const;
    if (plan.winograd) {
      this.#overParts(work, inputs / 4, (four, { scratch }) =>
        kernels.winogradFilterGradientEnd(address, parts, kernelGradient, inputs, 4 * four, 4, scratch),
      );
    } else {
      const { count } = plan.forward!;
      this.#overParts(work, 1, () =>
        kernels.filterGradientEnd(address, parts, count, depth, inputs, outputs, kernelGradient),
      );
    }
  }
}
