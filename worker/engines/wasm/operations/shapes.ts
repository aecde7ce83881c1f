// Operations that only move elements: concatenation, padding, and other shapes.
import type { FlattenLayer, PadLayer, ReshapeLayer } from '../../../../shared/network/layers.js';
import { sizeOf } from '../../../../shared/network/shapes.js';
import { formOf, imageBytes, Tensor, type Form, type ThreadMemory } from '../memory/tensor.js';
import type { ImageBlock } from '../passes/pass.js';
import { gridOf, originIn, stridesOf } from './addresses.js';
import type { Strides } from '../kernels.js';
import { Operation, type ProgramContext, type Value } from './operation.js';

/** Two or more values one after the other along the channels. */
export class Concatenation extends Operation {
  forward(): void {
    const { kernels, passes } = this.context;
    this.joinWithInputs();
    const target = new Tensor(this.output.form);
    this.output.tensor = target;
    let channel = 0;
    for (const input of this.inputs) {
      const source = input.tensor!;
      const { height, width, channels } = source.form;
      const begin = channel;
      channel += channels;
      passes.add({
        ...this.work('other layers'),
        tensors: [source, target],
        run: (block, memory) => {
          const from = stridesOf(source, block, memory);
          const to = stridesOf(target, block, memory, { channel: begin });
          kernels.copyChannels(...from, ...to, false, height, width, channels, block.first, block.count);
        },
      });
    }
  }

  backward(): void {
    const { kernels, passes, gradients } = this.context;
    const gradient = gradients.of(this.output);
    this.joinWithGradient(gradient, this.output.pixels);
    let channel = 0;
    for (const input of this.inputs) {
      const { height, width, channels } = input.form;
      const begin = channel;
      channel += channels;
      if (!input.needsGradient) continue;
      gradients.contribute(input, (target, adds) => {
        passes.add({
          ...this.work('other gradients'),
          tensors: [gradient, target],
          run: (block, memory) => {
            const from = stridesOf(gradient, block, memory, { channel: begin });
            const to = stridesOf(target, block, memory);
            kernels.copyChannels(...from, ...to, adds, height, width, channels, block.first, block.count);
          },
        });
      });
    }
    gradients.release(this.output);
  }
}

/** Zeros before and after the rows, columns and channels. */
export class Padding extends Operation {
  readonly #row: number;
  readonly #column: number;
  readonly #channel: number;

  constructor(context: ProgramContext, layer: PadLayer, input: Value, output: Value) {
    super(context, layer, [input], output);
    [this.#row, this.#column, this.#channel] = [layer.rows[0], layer.columns[0], layer.channels[0]];
  }

  get #begin() {
    return { row: this.#row, column: this.#column, channel: this.#channel };
  }

  forward(): void {
    const { kernels, passes } = this.context;
    this.joinWithInputs();
    const source = this.inputs[0].tensor!;
    const target = new Tensor(this.output.form);
    this.output.tensor = target;
    const { height, width, channels } = source.form;
    passes.add({
      ...this.work('other layers'),
      tensors: [source, target],
      run: (block, memory) => {
        kernels.fillZeros(originIn(target, block, memory), ...gridOf(target.form, block));
        const from = stridesOf(source, block, memory);
        const to = stridesOf(target, block, memory, this.#begin);
        kernels.copyChannels(...from, ...to, false, height, width, channels, block.first, block.count);
      },
    });
  }

  backward(): void {
    const { kernels, passes, gradients } = this.context;
    const gradient = gradients.of(this.output);
    this.joinWithGradient(gradient, this.output.pixels);
    gradients.contribute(this.inputs[0], (target, adds) => {
      const { height, width, channels } = target.form;
      passes.add({
        ...this.work('other gradients'),
        tensors: [gradient, target],
        run: (block, memory) => {
          const from = stridesOf(gradient, block, memory, this.#begin);
          const to = stridesOf(target, block, memory);
          kernels.copyChannels(...from, ...to, adds, height, width, channels, block.first, block.count);
        },
      });
    });
    gradients.release(this.output);
  }
}

/** The same elements with another shape: vectors or images. */
export class Reshaping extends Operation {
  constructor(context: ProgramContext, layer: FlattenLayer | ReshapeLayer, input: Value, output: Value) {
    super(context, layer, [input], output);
  }

  forward(): void {
    this.joinWithInputs();
    const source = this.inputs[0].tensor!;
    const target = new Tensor(this.output.form);
    this.output.tensor = target;
    this.#addCopies(source, target, false);
  }

  backward(): void {
    const { gradients } = this.context;
    const gradient = gradients.of(this.output);
    this.joinWithGradient(gradient, this.output.pixels);
    gradients.contribute(this.inputs[0], (target, adds) => this.#addCopies(gradient, target, adds));
    gradients.release(this.output);
  }

  #addCopies(source: Tensor, target: Tensor, adds: boolean): void {
    const { kernels, passes } = this.context;
    if (!isVector(source.form) && !isVector(target.form)) {
      const vector = new Tensor(formOf([sizeOf(this.output.shape)]));
      this.#addCopies(source, vector, false);
      this.#addCopies(vector, target, adds);
      return;
    }
    const { from, to, rows, columns, channels } = runOf(source.form, target.form);
    passes.add({
      ...this.work(adds ? 'other gradients' : 'other layers'),
      tensors: [source, target],
      run: (block, memory) => {
        const source_ = elementStrides(source, from, block, memory);
        const target_ = elementStrides(target, to, block, memory);
        kernels.copyChannels(...source_, ...target_, adds, rows, columns, channels, block.first, block.count);
      },
    });
  }
}

/** Elements at regular distances, in units of bytes. */
interface Elements {
  offset: number;
  rowStep: number;
  columnStep: number;
}

interface Run {
  from: Elements;
  to: Elements;
  rows: number;
  columns: number;
  channels: number;
}

function elementStrides(tensor: Tensor, elements: Elements, block: ImageBlock, memory: ThreadMemory): Strides {
  const start = originIn(tensor, block, memory) + elements.offset;
  return [start, imageBytes(tensor.form), elements.rowStep, elements.columnStep];
}

function isVector({ border }: Form): boolean {
  return border === 0;
}

/** Returns the copy that moves all elements in row-major order. One of the forms is a vector. */
function runOf(from: Form, to: Form): Run {
  const imageElements = ({ width, border, depth }: Form): Elements => {
    return { offset: 0, rowStep: (width + 2 * border) * depth * 4, columnStep: depth * 4 };
  };
  const flatElements = ({ width, channels }: Form): Elements => {
    return { offset: 0, rowStep: width * channels * 4, columnStep: channels * 4 };
  };
  const shapeOf = ({ height, width, channels }: Form) => ({ rows: height, columns: width, channels });
  if (isVector(to)) return { from: imageElements(from), to: flatElements(from), ...shapeOf(from) };
  return { from: flatElements(to), to: imageElements(to), ...shapeOf(to) };
}
