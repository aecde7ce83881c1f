// Activations, sums, products, constants and dropout.
import { activations } from '../../../../shared/network/graph.js';
import type { ActivationLayer, DropoutLayer, ScaleLayer } from '../../../../shared/network/layers.js';
import { imageBytes, Tensor } from '../memory/tensor.js';
import { gridOf, originIn } from './addresses.js';
import { Operation, type ProgramContext, type Value } from './operation.js';

export class Activation extends Operation {
  readonly #number: number;

  constructor(context: ProgramContext, layer: ActivationLayer, input: Value, output: Value) {
    super(context, layer, [input], output);
    this.#number = activations.indexOf(layer.op);
  }

  forward(): void {
    const { kernels, passes } = this.context;
    this.joinWithInputs();
    const source = this.inputs[0].tensor!;
    const target = new Tensor(this.output.form);
    this.output.tensor = target;
    passes.add({
      ...this.work('other layers'),
      tensors: [source, target],
      run: (block, memory) => {
        const to = originIn(target, block, memory);
        const grid = gridOf(target.form, block);
        kernels.activate(this.#number, originIn(source, block, memory), to, target.form.channels, ...grid);
      },
    });
  }

  backward(): void {
    const { kernels, passes, gradients } = this.context;
    const [input] = this.inputs;
    const gradient = gradients.of(this.output);
    this.joinWithGradient(gradient, this.output.pixels);
    const source = input.producer.outputForBackward();
    gradients.contribute(input, (target, adds) => {
      passes.add({
        ...this.work('other gradients'),
        tensors: [gradient, source, target],
        run: (block, memory) => {
          const from = originIn(gradient, block, memory);
          const other = originIn(source, block, memory);
          const to = originIn(target, block, memory);
          kernels.activateGradient(this.#number, from, other, to, adds, ...gridOf(target.form, block));
        },
      });
    });
    gradients.release(this.output);
  }
}

export class Sum extends Operation {
  forward(): void {
    const { kernels, passes } = this.context;
    this.joinWithInputs();
    const target = new Tensor(this.output.form);
    this.output.tensor = target;
    const [first, ...others] = this.inputs.map(({ tensor }) => tensor!);
    for (const [index, other] of others.entries()) {
      const sum = index === 0 ? first : target;
      passes.add({
        ...this.work('other layers'),
        tensors: [sum, other, target],
        run: (block, memory) => {
          const grid = gridOf(target.form, block);
          const to = originIn(target, block, memory);
          kernels.addTensors(originIn(sum, block, memory), originIn(other, block, memory), to, ...grid);
        },
      });
    }
  }

  backward(): void {
    const { gradients } = this.context;
    const gradient = gradients.of(this.output);
    this.joinWithGradient(gradient, this.output.pixels);
    for (const input of this.inputs) if (input.needsGradient) gradients.passThrough(input, gradient);
    gradients.release(this.output);
  }
}

/** Product of two values: of the same shape, or images times a factor per channel. */
export class Product extends Operation {
  get #isPerChannel(): boolean {
    const [a, b] = this.inputs.map(({ form }) => form);
    return a.height * a.width !== b.height * b.width;
  }

  forward(): void {
    const { kernels, passes } = this.context;
    this.joinWithInputs();
    const [a, b] = this.inputs.map(({ tensor }) => tensor!);
    const target = new Tensor(this.output.form);
    this.output.tensor = target;
    const isPerChannel = this.#isPerChannel;
    passes.add({
      ...this.work('other layers'),
      tensors: [a, b, target],
      run: (block, memory) => {
        const from = originIn(a, block, memory);
        const other = originIn(b, block, memory);
        const to = originIn(target, block, memory);
        const grid = gridOf(target.form, block);
        if (isPerChannel) kernels.multiplyChannels(from, other, imageBytes(b.form), to, false, ...grid);
        else kernels.multiplyTensors(from, other, to, false, ...grid);
      },
    });
  }

  backward(): void {
    const { gradients } = this.context;
    const gradient = gradients.of(this.output);
    this.joinWithGradient(gradient, this.output.pixels);
    const [a, b] = this.inputs.map(({ producer }) => producer.outputForBackward());
    if (this.inputs[0].needsGradient) this.#addFirstGradient(gradient, b);
    if (this.inputs[1].needsGradient) this.#addSecondGradient(gradient, a);
    gradients.release(this.output);
  }

  #addFirstGradient(gradient: Tensor, b: Tensor): void {
    const { kernels, passes, gradients } = this.context;
    const isPerChannel = this.#isPerChannel;
    gradients.contribute(this.inputs[0], (target, adds) => {
      passes.add({
        ...this.work('other gradients'),
        tensors: [gradient, b, target],
        run: (block, memory) => {
          const from = originIn(gradient, block, memory);
          const other = originIn(b, block, memory);
          const to = originIn(target, block, memory);
          const grid = gridOf(target.form, block);
          if (isPerChannel) kernels.multiplyChannels(from, other, imageBytes(b.form), to, adds, ...grid);
          else kernels.multiplyTensors(from, other, to, adds, ...grid);
        },
      });
    });
  }

  #addSecondGradient(gradient: Tensor, a: Tensor): void {
    const { kernels, passes, gradients } = this.context;
    const isPerChannel = this.#isPerChannel;
    gradients.contribute(this.inputs[1], (target, adds) => {
      passes.add({
        ...this.work('other gradients'),
        tensors: [gradient, a, target],
        run: (block, memory) => {
          const from = originIn(gradient, block, memory);
          const other = originIn(a, block, memory);
          const to = originIn(target, block, memory);
          const grid = gridOf(gradient.form, block);
          if (isPerChannel) kernels.sumProductsOfChannels(from, other, to, imageBytes(target.form), adds, ...grid);
          else kernels.multiplyTensors(from, other, to, adds, ...grid);
        },
      });
    });
  }
}

/** x × factor + offset with constants for each channel. */
export class Scale extends Operation {
  constructor(context: ProgramContext, layer: ScaleLayer, input: Value, output: Value) {
    super(context, layer, [input], output);
  }

  forward(): void {
    const { kernels, passes, fixed } = this.context;
    this.joinWithInputs();
    const { factors, offsets } = fixed.scales.get(this.layer)!;
    const source = this.inputs[0].tensor!;
    const target = new Tensor(this.output.form);
    this.output.tensor = target;
    passes.add({
      ...this.work('other layers'),
      tensors: [source, target],
      run: (block, memory) => {
        const from = originIn(source, block, memory);
        kernels.scaleChannels(from, factors, offsets, originIn(target, block, memory), ...gridOf(target.form, block));
      },
    });
  }

  backward(): void {
    const { kernels, passes, fixed, gradients } = this.context;
    const { factors } = fixed.scales.get(this.layer)!;
    const gradient = gradients.of(this.output);
    this.joinWithGradient(gradient, this.output.pixels);
    gradients.contribute(this.inputs[0], (target, adds) => {
      passes.add({
        ...this.work('other gradients'),
        tensors: [gradient, target],
        run: (block, memory) => {
          const from = originIn(gradient, block, memory);
          const to = originIn(target, block, memory);
          kernels.multiplyChannels(from, factors, 0, to, adds, ...gridOf(target.form, block));
        },
      });
    });
    gradients.release(this.output);
  }
}

/** Multiplies by a mask that the model writes before each step; in evaluations the output is the input. */
export class Dropout extends Operation {
  readonly mask: Tensor;

  constructor(context: ProgramContext, layer: DropoutLayer, input: Value, output: Value) {
    super(context, layer, [input], output);
    this.mask = new Tensor(output.form);
    this.mask.isKept = true;
  }

  forward(): void {
    const { kernels, passes, mode } = this.context;
    this.joinWithInputs();
    const source = this.inputs[0].tensor!;
    if (mode === 'evaluate') {
      this.output.tensor = source;
      return;
    }
    const target = new Tensor(this.output.form);
    this.output.tensor = target;
    passes.add({
      ...this.work('other layers'),
      tensors: [source, target, this.mask],
      run: (block, memory) => {
        const other = originIn(this.mask, block, memory);
        const to = originIn(target, block, memory);
        kernels.multiplyTensors(originIn(source, block, memory), other, to, false, ...gridOf(target.form, block));
      },
    });
  }

  backward(): void {
    const { kernels, passes, gradients } = this.context;
    const gradient = gradients.of(this.output);
    this.joinWithGradient(gradient, this.output.pixels);
    gradients.contribute(this.inputs[0], (target, adds) => {
      passes.add({
        ...this.work('other gradients'),
        tensors: [gradient, target, this.mask],
        run: (block, memory) => {
          const from = originIn(gradient, block, memory);
          const other = originIn(this.mask, block, memory);
          const to = originIn(target, block, memory);
          kernels.multiplyTensors(from, other, to, adds, ...gridOf(target.form, block));
        },
      });
    });
    gradients.release(this.output);
  }
}
