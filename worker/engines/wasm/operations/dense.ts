// Dense layers, forward and backward.
import type { DenseLayer } from '../../../../shared/network/layers.js';
import { parameterOf, type DensePlan, type ParameterPlan } from '../memory/fixed-plan.js';
import { imageBytes, Tensor } from '../memory/tensor.js';
import { startOf } from './addresses.js';
import { Operation, type ProgramContext, type Value } from './operation.js';

/** Minimum number of images in a block; with fewer, loading the weights would take longer than using them. */
const minBlockImages = 16;
/** Number of inputs whose weights' gradients a tile computes. */
const tileInputs = 32;

export class Dense extends Operation {
  readonly #plan: DensePlan;
  readonly #kernel: ParameterPlan;
  readonly #bias: ParameterPlan;

  constructor(context: ProgramContext, layer: DenseLayer, input: Value, output: Value) {
    super(context, layer, [input], output);
    this.#plan = context.fixed.dense.get(layer)!;
    this.#kernel = parameterOf(context.fixed, layer.kernel);
    this.#bias = parameterOf(context.fixed, layer.bias);
  }

  forward(): void {
    const { kernels, passes } = this.context;
    if (this.#fitsOpenPass()) this.joinWithInputs();
    else this.openWithInputs(this.output.pixels);
    const source = this.inputs[0].tensor!;
    const target = new Tensor(this.output.form);
    this.output.tensor = target;
    const inputs = source.form.channels;
    const outputs = target.form.channels;
    passes.add({
      ...this.work('dense'),
      tensors: [source, target],
      run: (block, memory) => {
        const from = [startOf(source, block, memory), imageBytes(source.form), inputs] as const;
        const to = [startOf(target, block, memory), imageBytes(target.form), outputs, false] as const;
        kernels.multiplyVectors(
          ...from,
          this.#kernel.value,
          outputs,
          this.#bias.value,
          ...to,
          block.first,
          block.count,
        );
      },
    });
  }

  #fitsOpenPass(): boolean {
    const { openBlockImages } = this.context.passes;
    return openBlockImages !== undefined && openBlockImages >= minBlockImages;
  }

  backward(): void {
    const { passes, gradients } = this.context;
    const gradient = gradients.of(this.output);
    if (this.#fitsOpenPass()) this.joinWithGradient(gradient, this.output.pixels);
    else passes.open(this.output.pixels);
    this.#addParameterGradients(gradient);
    if (this.inputs[0].needsGradient) this.#addInputGradient(gradient);
    gradients.release(this.output);
  }

  #addParameterGradients(gradient: Tensor): void {
    const { kernels, passes } = this.context;
    const input = this.inputs[0].producer.outputForBackward();
    const inputs = input.form.channels;
    const outputs = gradient.form.channels;
    const gradientBytes = imageBytes(gradient.form);
    const kernel = this.#kernel.gradient;
    const bias = this.#bias.gradient;
    if (kernel !== 0) {
      passes.addTask({
        ...this.work('filter gradient'),
        tensors: [input, gradient],
        tiles: Math.ceil(inputs / tileInputs),
        run: (tile, imageCount, _partialCount, { scratch }) => {
          const first = tile * tileInputs;
          const from = [input.address, imageBytes(input.form), first, Math.min(tileInputs, inputs - first)] as const;
          kernels.vectorProducts(...from, gradient.address, gradientBytes, outputs, imageCount, kernel, scratch);
        },
      });
    }
    if (bias === 0) return;
    passes.addTask({
      ...this.work('filter gradient'),
      tensors: [gradient],
      tiles: 1,
      run: (_tile, imageCount) => kernels.sumVectors(gradient.address, gradientBytes, outputs, imageCount, bias),
    });
  }

  #addInputGradient(gradient: Tensor): void {
    const { kernels, passes, gradients } = this.context;
    const { transposed } = this.#plan;
    gradients.contribute(this.inputs[0], (target, adds) => {
      const { depth } = target.form;
      passes.add({
        ...this.work('input gradient'),
        tensors: [gradient, target],
        run: (block, memory) => {
          const from = [startOf(gradient, block, memory), imageBytes(gradient.form), gradient.form.channels] as const;
          const to = [startOf(target, block, memory), imageBytes(target.form), depth, adds] as const;
          kernels.multiplyVectors(...from, transposed, depth, 0, ...to, block.first, block.count);
        },
      });
    });
  }
}
