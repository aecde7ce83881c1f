// Values whose elements are elements of other values at other places.
import type { PadLayer } from '../../../../shared/network/layers.js';
import { sizeOf } from '../../../../shared/network/shapes.js';
import { floatOf } from '../wgsl/arithmetic.js';
import type { Kernel, Width } from '../wgsl/kernel.js';
import type { Resource } from '../memory/resources.js';
import { distinct, Value } from './value.js';

abstract class Gathered extends Value {
  readonly inputs: readonly Value[];

  constructor(shape: readonly number[], inputs: readonly Value[]) {
    super(shape);
    this.inputs = inputs;
  }

  /** Finding an element takes several divisions. */
  get isCheap(): boolean {
    return false;
  }

  get resources(): readonly Resource[] {
    return distinct(this.inputs.flatMap(({ resources }) => resources));
  }

  protected body(kernel: Kernel, width: Width): string {
    if (width === 1) return this.element(kernel);
    const one = this.load(kernel, 1);
    const calls = [0, 1, 2, 3].map((n) => `${one}(4u * i + ${n}u, 4u * c + ${n}u)`);
    return `  return vec4f(${calls.join(', ')});`;
  }

  /** Returns statements that return element i, of channel c. */
  protected abstract element(kernel: Kernel): string;
}

/** A factor per channel and image, for each pixel. */
export class Spread extends Gathered {
  readonly #factor: number;

  constructor(shape: readonly number[], perChannel: Value, factor = 1) {
    super(shape, [perChannel]);
    this.#factor = factor;
  }

  override get isCheap(): boolean {
    return this.inputs[0].isCheap;
  }

  protected element(kernel: Kernel): string {
    const load = this.inputs[0].load(kernel, 1);
    const value = `${load}(i / ${sizeOf(this.shape)}u * ${this.channels}u + c, c)`;
    return `  return ${value}${this.#factor === 1 ? '' : ` * ${floatOf(this.#factor)}`};`;
  }
}

/** Channels of values one after the other. */
export class Concatenated extends Gathered {
  protected element(kernel: Kernel): string {
    const lines = [`  let pixel = i / ${this.channels}u;`];
    let start = 0;
    for (const input of this.inputs) {
      const end = start + input.channels;
      const at = `pixel * ${input.channels}u + c - ${start}u, c - ${start}u`;
      lines.push(`  if (c < ${end}u) { return ${input.load(kernel, 1)}(${at}); }`);
      start = end;
    }
    return [...lines, '  return 0.0;'].join('\n');
  }
}

/** Consecutive channels of a value. */
export class ChannelSlice extends Gathered {
  readonly #first: number;

  constructor(shape: readonly number[], input: Value, first: number) {
    super(shape, [input]);
    this.#first = first;
  }

  protected element(kernel: Kernel): string {
    const [input] = this.inputs;
    const channel = `c + ${this.#first}u`;
    return `  return ${input.load(kernel, 1)}(i / ${this.channels}u * ${input.channels}u + ${channel}, ${channel});`;
  }
}

type Margins = Pick<PadLayer, 'rows' | 'columns' | 'channels'>;

/** A value with zeros around it. */
export class Padded extends Gathered {
  readonly #margins: Margins;

  constructor(shape: readonly number[], input: Value, margins: Margins) {
    super(shape, [input]);
    this.#margins = margins;
  }

  protected element(kernel: Kernel): string {
    const { rows, columns, channels } = this.#margins;
    const [height, width, depth] = this.shape;
    const [input] = this.inputs;
    const [inHeight, inWidth, inDepth] = input.shape;
    return `  let y = i32(i / ${width * depth}u % ${height}u) - ${rows[0]};
  let x = i32(i / ${depth}u % ${width}u) - ${columns[0]};
  let channel = i32(c) - ${channels[0]};
  if (y < 0 || y >= ${inHeight} || x < 0 || x >= ${inWidth} || channel < 0 || channel >= ${inDepth}) { return 0.0; }
  let image = i / ${sizeOf(this.shape)}u;
  return ${input.load(kernel, 1)}(((image * ${inHeight}u + u32(y)) * ${inWidth}u + u32(x)) * ${inDepth}u + u32(channel), u32(channel));`;
  }
}

/** A value without the elements that Padded adds. */
export class Cropped extends Gathered {
  readonly #margins: Margins;

  constructor(shape: readonly number[], input: Value, margins: Margins) {
    super(shape, [input]);
    this.#margins = margins;
  }

  protected element(kernel: Kernel): string {
    const { rows, columns, channels } = this.#margins;
    const [height, width, depth] = this.shape;
    const [input] = this.inputs;
    const [inHeight, inWidth, inDepth] = input.shape;
    return `  let y = i / ${width * depth}u % ${height}u + ${rows[0]}u;
  let x = i / ${depth}u % ${width}u + ${columns[0]}u;
  let channel = c + ${channels[0]}u;
  let image = i / ${sizeOf(this.shape)}u;
  return ${input.load(kernel, 1)}(((image * ${inHeight}u + y) * ${inWidth}u + x) * ${inDepth}u + channel, channel);`;
  }
}

/** Every nth row and column. */
export class Sampled extends Gathered {
  readonly #strides: readonly [number, number];

  constructor(shape: readonly number[], input: Value, strides: readonly [number, number]) {
    super(shape, [input]);
    this.#strides = strides;
  }

  protected element(kernel: Kernel): string {
    const [height, width, depth] = this.shape;
    const [input] = this.inputs;
    const [inHeight, inWidth] = input.shape;
    return `  let y = i / ${width * depth}u % ${height}u * ${this.#strides[0]}u;
  let x = i / ${depth}u % ${width}u * ${this.#strides[1]}u;
  let image = i / ${sizeOf(this.shape)}u;
  return ${input.load(kernel, 1)}(((image * ${inHeight}u + y) * ${inWidth}u + x) * ${depth}u + c, c);`;
  }
}

/** A value with zeros between its rows and columns: the gradient with respect to the input of Sampled. */
export class Unsampled extends Gathered {
  readonly #strides: readonly [number, number];

  constructor(shape: readonly number[], input: Value, strides: readonly [number, number]) {
    super(shape, [input]);
    this.#strides = strides;
  }

  protected element(kernel: Kernel): string {
    const [height, width, depth] = this.shape;
    const [input] = this.inputs;
    const [inHeight, inWidth] = input.shape;
    const [rows, columns] = this.#strides;
    return `  let y = i / ${width * depth}u % ${height}u;
  let x = i / ${depth}u % ${width}u;
  if (y % ${rows}u != 0u || x % ${columns}u != 0u || y / ${rows}u >= ${inHeight}u || x / ${columns}u >= ${inWidth}u) {
    return 0.0;
  }
  let image = i / ${sizeOf(this.shape)}u;
  return ${input.load(kernel, 1)}(((image * ${inHeight}u + y / ${rows}u) * ${inWidth}u + x / ${columns}u) * ${depth}u + c, c);`;
  }
}

/** The gradient with respect to the input of a maximum over all pixels. */
export class PeakGradient extends Gathered {
  readonly #positions: Resource;

  /** @param positions index of the largest pixel, for each image and channel, as u32 */
  constructor(shape: readonly number[], gradient: Value, positions: Resource) {
    super(shape, [gradient]);
    this.#positions = positions;
  }

  override get resources(): readonly Resource[] {
    return distinct([...super.resources, this.#positions]);
  }

  protected element(kernel: Kernel): string {
    const [height, width, depth] = this.shape;
    return `  let at = i / ${sizeOf(this.shape)}u * ${depth}u + c;
  if (${kernel.read(this.#positions, 'u32')}[at] != i / ${depth}u % ${height * width}u) { return 0.0; }
  return ${this.inputs[0].load(kernel, 1)}(at, c);`;
  }
}

/** The elements of a value in the same order with another shape. */
export class Reshaped extends Gathered {
  override get isCheap(): boolean {
    return this.inputs[0].isCheap;
  }

  protected element(kernel: Kernel): string {
    const [input] = this.inputs;
    return `  return ${input.load(kernel, 1)}(i, i % ${input.channels}u);`;
  }
}
