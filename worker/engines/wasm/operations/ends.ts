// The two ends of a network: its input images, and the loss.
import { recordFormat, type RecordFormat } from '../../../../shared/dataset/record-format.js';
import type { InputLayer, Layer } from '../../../../shared/network/layers.js';
import { imageBytes, Tensor } from '../memory/tensor.js';
import type { Work } from '../passes/pass.js';
import { startOf } from './addresses.js';
import { Operation, Value, type ProgramContext } from './operation.js';

/** Fills the input images from records. */
export class InputImages extends Operation {
  readonly #format: RecordFormat;

  constructor(context: ProgramContext, layer: InputLayer, output: Value) {
    super(context, layer, [], output);
    this.#format = recordFormat(context.fixed.layout.data);
  }

  forward(): void {}

  override materialize(): void {
    if (this.output.tensor !== null) return;
    const { kernels, passes, fixed, arrays, hasPixelMeans } = this.context;
    const { labelBytes, channels: colors } = this.#format;
    const { preprocessedValues, pixelMeans, pixelDivisors } = fixed;
    const target = new Tensor(this.output.form);
    this.output.tensor = target;
    const { height, width } = target.form;
    const redFirst = fixed.layout.graph.channelOrder === 'rgb';
    // The images belong to the layers that read them.
    const work: Work = { phase: 'images', group: 'images' };
    passes.add({
      ...work,
      tensors: [target],
      run: (block, memory) => {
        const { first, count } = block;
        const from = [arrays.records, labelBytes, colors, arrays.augmentations, preprocessedValues] as const;
        kernels.fillImages(...from, redFirst, startOf(target, block, memory), height, width, first, count);
      },
    });
    if (!hasPixelMeans) return;
    passes.add({
      ...work,
      tensors: [target],
      run: (block, memory) => {
        const { first, count } = block;
        kernels.centerImages(startOf(target, block, memory), pixelMeans, pixelDivisors, height, width, first, count);
      },
    });
  }

  backward(): void {}
}

/** Softmax cross-entropy of the logits, and its gradient. */
export class Loss extends Operation {
  readonly #format: RecordFormat;

  constructor(context: ProgramContext, layer: Layer, logits: Value) {
    super(context, layer, [logits], new Value(logits.shape, 0, logits.needsGradient));
    this.#format = recordFormat(context.fixed.layout.data);
  }

  /** The logits, which have memory until the end of the program. */
  get logits(): Tensor {
    return this.inputs[0].tensor!;
  }

  forward(): void {
    const { kernels, passes, arrays, mode } = this.context;
    this.joinWithInputs();
    const { logits } = this;
    const gradient = new Tensor(logits.form);
    this.output.tensor = gradient;
    const labelSmoothing = mode === 'train' ? this.context.labelSmoothing : 0;
    const { classCount, recordBytes, labelBytes } = this.#format;
    passes.add({
      phase: 'head',
      group: 'head',
      tensors: [logits, gradient],
      run: (block, memory) => {
        const from = [startOf(logits, block, memory), imageBytes(logits.form), classCount] as const;
        const labels = [arrays.records, recordBytes, labelBytes, labelSmoothing] as const;
        const to = [startOf(gradient, block, memory), arrays.losses, arrays.correct] as const;
        kernels.softmaxLoss(...from, ...labels, ...to, block.first, block.count);
      },
    });
  }

  backward(): void {
    const [logits] = this.inputs;
    if (logits.needsGradient) this.context.gradients.passThrough(logits, this.output.tensor!);
  }
}
