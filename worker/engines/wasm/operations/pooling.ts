// Pooling over windows and over whole images, and the shortcut that takes every second pixel.
import type { GlobalPoolLayer, PadLayer, PoolLayer } from '../../../../shared/network/layers.js';
import { imageBytes, rowBytes, Tensor, type ThreadMemory } from '../memory/tensor.js';
import type { ImageBlock } from '../passes/pass.js';
import { gridOf, originIn, startOf } from './addresses.js';
import { Operation, type ProgramContext, type Value } from './operation.js';

/** Maximum or average over windows, which may be as large as the images. */
export class Pooling extends Operation {
  readonly #isMaximum: boolean;
  readonly #window: readonly [number, number];
  readonly #strides: readonly [number, number];
  readonly #before: readonly [number, number];

  constructor(context: ProgramContext, layer: PoolLayer | GlobalPoolLayer, input: Value, output: Value) {
    super(context, layer, [input], output);
    this.#isMaximum = layer.op === 'maxPool' || layer.op === 'globalMaxPool';
    if ('poolSize' in layer) {
      this.#window = layer.poolSize;
      this.#strides = layer.strides;
      this.#before = [layer.padding.top, layer.padding.left];
    } else {
      this.#window = [layer.inputShapes[0][0], layer.inputShapes[0][1]];
      this.#strides = [1, 1];
      this.#before = [0, 0];
    }
  }

  forward(): void {
    const { kernels, passes } = this.context;
    this.joinWithInputs();
    const source = this.inputs[0].tensor!;
    const target = new Tensor(this.output.form);
    this.output.tensor = target;
    const kernel = this.#isMaximum ? kernels.maxPool : kernels.averagePool;
    passes.add({
      ...this.work('other layers'),
      tensors: [source, target],
      run: (block, memory) => {
        kernel(...this.#windows(source, block, memory), ...perWindow(target, block, memory), block.first, block.count);
      },
    });
  }

  backward(): void {
    const { kernels, passes, gradients } = this.context;
    const [input] = this.inputs;
    const gradient = gradients.of(this.output);
    this.joinWithGradient(gradient, input.pixels);
    const source = this.#isMaximum ? input.producer.outputForBackward() : null;
    gradients.contribute(input, (target, adds) => {
      passes.add({
        ...this.work('other gradients'),
        tensors: [gradient, target, ...(source ? [source] : [])],
        run: (block, memory) => {
          const { first, count } = block;
          const from = perWindow(gradient, block, memory);
          if (source) {
            const windows = this.#windows(source, block, memory);
            kernels.maxPoolGradient(...windows, ...from, originIn(target, block, memory), adds, first, count);
          } else {
            kernels.averagePoolGradient(...this.#windows(target, block, memory), ...from, adds, first, count);
          }
        },
      });
    });
    gradients.release(this.output);
  }

  #windows(tensor: Tensor, block: ImageBlock, memory: ThreadMemory) {
    const { form } = tensor;
    return [
      originIn(tensor, block, memory),
      imageBytes(form),
      rowBytes(form),
      form.height,
      form.width,
      ...this.#window,
      ...this.#strides,
      ...this.#before,
    ] as const;
  }
}

function perWindow(tensor: Tensor, block: ImageBlock, memory: ThreadMemory) {
  const { form } = tensor;
  return [
    originIn(tensor, block, memory),
    imageBytes(form),
    rowBytes(form),
    form.height,
    form.width,
    form.depth,
  ] as const;
}

export class GlobalAverage extends Operation {
  constructor(context: ProgramContext, layer: GlobalPoolLayer, input: Value, output: Value) {
    super(context, layer, [input], output);
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
        const to = startOf(target, block, memory);
        const grid = gridOf(source.form, block);
        kernels.globalAverage(originIn(source, block, memory), to, imageBytes(target.form), ...grid);
      },
    });
  }

  backward(): void {
    const { kernels, passes, gradients } = this.context;
    const gradient = gradients.of(this.output);
    this.joinWithGradient(gradient, this.inputs[0].pixels);
    gradients.contribute(this.inputs[0], (target, adds) => {
      passes.add({
        ...this.work('other gradients'),
        tensors: [gradient, target],
        run: (block, memory) => {
          const from = startOf(gradient, block, memory);
          const to = originIn(target, block, memory);
          kernels.globalAverageGradient(from, imageBytes(gradient.form), to, adds, ...gridOf(target.form, block));
        },
      });
    });
    gradients.release(this.output);
  }
}

/**
 * Takes every second row and column, and doubles the number of channels: the identity shortcut of He et al. 2016. The
 * additional channels, before and after the others, stay 0.
 */
export class NarrowedShortcut extends Operation {
  constructor(context: ProgramContext, layer: PadLayer, input: Value, output: Value) {
    super(context, layer, [input], output);
  }

  forward(): void {
    const { kernels, passes } = this.context;
    this.openWithInputs(this.output.pixels);
    const source = this.inputs[0].tensor!;
    const target = new Tensor({ ...this.output.form, pattern: 'narrowed' });
    this.output.tensor = target;
    passes.add({
      ...this.work('shortcut'),
      tensors: [source, target],
      run: (block, memory) => {
        const { height, depth } = target.form;
        const to = startOf(target, block, memory);
        const size = source.form.height;
        kernels.copyNarrowed(startOf(source, block, memory), size, to, height, depth, block.first, block.count);
      },
    });
  }

  backward(): void {
    const { kernels, passes, gradients } = this.context;
    const gradient = gradients.of(this.output);
    this.joinWithGradient(gradient, this.output.pixels);
    gradients.contribute(this.inputs[0], (target, adds) => {
      const { height, depth } = gradient.form;
      if (!adds) this.#addZeros(target);
      passes.add({
        ...this.work('shortcut'),
        tensors: [gradient, target],
        run: (block, memory) => {
          const to = startOf(target, block, memory);
          const size = target.form.height;
          kernels.addWidened(startOf(gradient, block, memory), to, size, height, depth, block.first, block.count);
        },
      });
    });
    gradients.release(this.output);
  }

  #addZeros(target: Tensor): void {
    this.context.passes.add({
      ...this.work('shortcut'),
      tensors: [target],
      run: (block, memory) =>
        this.context.kernels.fillZeros(originIn(target, block, memory), ...gridOf(target.form, block)),
    });
  }
}
