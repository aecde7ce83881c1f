// Values in a network: stored in memory, or computed from others whenever a kernel loads them.
import type { ActivationLayer } from '../../../../shared/network/layers.js';
import { sizeOf } from '../../../../shared/network/shapes.js';
import { applied } from '../wgsl/arithmetic.js';
import { type Kernel, sameResource, typeOf, type Width } from '../wgsl/kernel.js';
import { type Resource, Tensor, Extent } from '../memory/resources.js';

/** Statements that compute the element `i`, of channel `c`, and return it. Indices count elements of
 * this width. */
type Body = string;

export abstract class Value {
  /** Shape for one image. */
  readonly shape: readonly number[];

  constructor(shape: readonly number[]) {
    this.shape = shape;
  }

  get channels(): number {
    return this.shape.at(-1)!;
  }

  /** What a kernel that loads this value binds. */
  abstract get resources(): readonly Resource[];

  /** Whether computing an element again at each load costs little more than loading it. */
  abstract get isCheap(): boolean;

  /** A product in this value that no dispatch computes yet. */
  get pending(): PendingProduct | null {
    return null;
  }

  /** Number of arrays among the resources that have elements for each image. */
  get tensors(): number {
    return this.resources.filter((each) => (each instanceof Tensor ? each.isPerImage : each.size === undefined)).length;
  }

  /** Returns the name of a WGSL function of an element's index and channel. */
  load(kernel: Kernel, width: Width): string {
    return kernel.once(this, width, (name) => {
      const body = this.body(kernel, width);
      return `fn ${name}(i: u32, c: u32) -> ${typeOf(width)} {\n${body}\n}`;
    });
  }

  protected abstract body(kernel: Kernel, width: Width): Body;
}

/** A value in memory. */
export class Stored extends Value {
  readonly resource: Resource;

  constructor(shape: readonly number[], resource: Resource = new Tensor(new Extent(sizeOf(shape)))) {
    super(shape);
    this.resource = resource;
  }

  get resources(): readonly Resource[] {
    return [this.resource];
  }

  get isCheap(): boolean {
    return true;
  }

  protected body(kernel: Kernel, width: Width): Body {
    return `  return ${kernel.read(this.resource, typeOf(width))}[i];`;
  }
}

/** What becomes of each element of an input gradient. */
export interface Epilogue {
  /** The value to store, computed from the product. */
  readonly value: Value;
  /** Terms to sum for each channel, computed from what is stored in place of the product; null for none. */
  readonly sums: { readonly terms: readonly Value[]; readonly partials: Tensor } | null;
}

/** Adds the kernel of a product that stores a value made of it. */
type AddProduct = (epilogue: Epilogue, output: Resource) => void;

/**
 * An input gradient whose kernel is added later, so that it can also compute what becomes of the gradient. Until then, it
 * can only be loaded in that kernel.
 */
export class PendingProduct extends Value {
  /** Arrays of the operands, which the kernel binds in any case. */
  readonly arrays: readonly Resource[];
  /** Whether the kernel can also sum the gradient for each channel. */
  readonly canSum: boolean;
  readonly #add: AddProduct;
  #stored: Stored | null = null;
  #isAdded = false;

  constructor(shape: readonly number[], operands: readonly Resource[], canSum: boolean, add: AddProduct) {
    super(shape);
    this.arrays = operands;
    this.canSum = canSum;
    this.#add = add;
  }

  override get pending(): PendingProduct | null {
    return this.#stored === null ? this : null;
  }

  get resources(): readonly Resource[] {
    return this.#stored?.resources ?? [];
  }

  get isCheap(): boolean {
    return true;
  }

  /** Adds the kernel, which stores a value made of the product, and returns the value. */
  addWith(value: Value, sums: Epilogue['sums'] = null): Stored {
    const stored = new Stored(this.shape);
    this.#add({ value, sums }, stored.resource);
    this.#isAdded = true;
    if (value === this) this.#stored = stored;
    return stored;
  }

  protected body(kernel: Kernel, width: Width): Body {
    if (this.#stored !== null) return `  return ${this.#stored.load(kernel, width)}(i, c);`;
    if (this.#isAdded) throw new Error('this product is only in the kernel that was added');
    return '  return product;';
  }
}

/** A value computed element by element from others of the same shape. */
export abstract class Mapped extends Value {
  readonly inputs: readonly Value[];

  constructor(inputs: readonly Value[], shape = inputs[0].shape) {
    super(shape);
    this.inputs = inputs;
  }

  get resources(): readonly Resource[] {
    return distinct([...this.inputs.flatMap(({ resources }) => resources), ...this.ownResources]);
  }

  get isCheap(): boolean {
    return this.inputs.every((input) => input.isCheap);
  }

  override get pending(): PendingProduct | null {
    return this.inputs.map((input) => input.pending).find((each) => each !== null) ?? null;
  }

  protected get ownResources(): readonly Resource[] {
    return [];
  }

  protected body(kernel: Kernel, width: Width): Body {
    const names = this.inputs.map((_, index) => `x${index}`);
    const lines = this.inputs.map((input, index) => `  let x${index} = ${input.load(kernel, width)}(i, c);`);
    return [...lines, this.combine(kernel, width, ...names)].join('\n');
  }

  /** Returns statements that return the element, given the names of the inputs' elements. */
  protected abstract combine(kernel: Kernel, width: Width, ...names: string[]): Body;
}

/** The sum of values, in their order. */
export class Sum extends Mapped {
  protected combine(_kernel: Kernel, _width: Width, first: string, ...others: string[]): Body {
    return `  var sum = ${first};\n${others.map((name) => `  sum = sum + ${name};\n`).join('')}  return sum;`;
  }
}

/** The product of two values. */
export class Product extends Mapped {
  protected combine(_kernel: Kernel, _width: Width, a: string, b: string): Body {
    return `  return ${a} * ${b};`;
  }
}

type Activation = ActivationLayer['op'];

/** f(x). */
export class Activated extends Mapped {
  readonly op: Activation;

  constructor(op: Activation, input: Value) {
    super([input]);
    this.op = op;
  }

  override get isCheap(): boolean {
    return isPiecewiseLinear(this.op) && super.isCheap;
  }

  protected combine(kernel: Kernel, width: Width, x: string): Body {
    const { op } = this;
    if (op === 'relu') return `  return max(${x}, ${typeOf(width)}(0.0));`;
    if (op === 'relu6') return `  return min(max(${x}, ${typeOf(width)}(0.0)), ${typeOf(width)}(6.0));`;
    kernel.use(op);
    return `  return ${applied(op, x, width)};`;
  }
}

/** Gradient × f'(x). */
export class ActivationGradient extends Mapped {
  readonly op: Activation;

  /** @param input the input of the activation; for relu and relu6, the output will do as well */
  constructor(op: Activation, gradient: Value, input: Value) {
    super([gradient, input]);
    this.op = op;
  }

  override get isCheap(): boolean {
    return isPiecewiseLinear(this.op) && super.isCheap;
  }

  protected combine(kernel: Kernel, width: Width, gradient: string, x: string): Body {
    const { op } = this;
    const zero = `${typeOf(width)}(0.0)`;
    if (op === 'relu') return `  return select(${zero}, ${gradient}, ${x} > ${zero});`;
    if (op === 'relu6') {
      const below = `select(${zero}, ${gradient}, ${x} < ${typeOf(width)}(6.0))`;
      return `  let below = ${below};\n  return select(${zero}, below, ${x} > ${zero});`;
    }
    kernel.use(`${op}Slope`);
    return `  return ${gradient} * ${applied(`${op}Slope`, x, width)};`;
  }
}

/** A value times a constant per channel, plus another one. */
export class Scaled extends Mapped {
  readonly #factors: Resource;
  readonly #offsets: Resource | null;

  constructor(input: Value, factors: Resource, offsets: Resource | null) {
    super([input]);
    this.#factors = factors;
    this.#offsets = offsets;
  }

  protected override get ownResources(): readonly Resource[] {
    return this.#offsets === null ? [this.#factors] : [this.#factors, this.#offsets];
  }

  protected combine(kernel: Kernel, width: Width, x: string): Body {
    const product = `${x} * ${kernel.read(this.#factors, typeOf(width))}[c]`;
    return `  return ${this.#offsets === null ? product : `${product} + ${kernel.read(this.#offsets, typeOf(width))}[c]`};`;
  }
}

export function isPiecewiseLinear(op: Activation): boolean {
  return op === 'relu' || op === 'relu6';
}

export function distinct(resources: readonly Resource[]): Resource[] {
  return resources.filter((each, index) => resources.findIndex((other) => sameResource(each, other)) === index);
}
