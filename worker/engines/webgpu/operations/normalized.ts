// Values of batch norm, computed when a kernel loads them.
import { typeOf, type Kernel, type Width } from '../kernels/kernel.js';
import type { Resource } from '../memory/resources.js';
import { Mapped, type Value } from './value.js';

/** Factors of a norm, [4, channels]: mean, gamma / deviation, beta, 1 / deviation. */
type Norm = Resource;

abstract class WithNorm extends Mapped {
  readonly norm: Norm;

  constructor(inputs: readonly Value[], norm: Norm) {
    super(inputs);
    this.norm = norm;
  }

  protected override get ownResources(): readonly Resource[] {
    return [this.norm];
  }

  /** Returns the element of a row of the norm for channel c. */
  protected row(kernel: Kernel, width: Width, row: number): string {
    return `${kernel.read(this.norm, typeOf(width))}[c${row === 0 ? '' : ` + ${(row * this.channels) / width}u`}]`;
  }
}

/** (x - mean) × gamma / deviation + beta. */
export class Normalized extends WithNorm {
  protected combine(kernel: Kernel, width: Width, x: string): string {
    const row = (index: number) => this.row(kernel, width, index);
    return `  return (${x} - ${row(0)}) * ${row(1)} + ${row(2)};`;
  }
}

/** Gradient × (x - mean) / deviation, whose sum is the gradient with respect to gamma. */
export class GammaGradient extends WithNorm {
  protected combine(kernel: Kernel, width: Width, gradient: string, x: string): string {
    const row = (index: number) => this.row(kernel, width, index);
    return `  return ${gradient} * ((${x} - ${row(0)}) * ${row(3)});`;
  }
}

/** The gradient with respect to the input of a batch norm that uses the statistics of its input. */
export class NormGradient extends WithNorm {
  readonly #means: Resource;

  /** @param means [2, channels]: means of the gradients, and of GammaGradient */
  constructor(gradient: Value, input: Value, norm: Norm, means: Resource) {
    super([gradient, input], norm);
    this.#means = means;
  }

  protected override get ownResources(): readonly Resource[] {
    return [this.norm, this.#means];
  }

  protected combine(kernel: Kernel, width: Width, gradient: string, x: string): string {
    const row = (index: number) => this.row(kernel, width, index);
    const means = kernel.read(this.#means, typeOf(width));
    return `  let normalized = (${x} - ${row(0)}) * ${row(3)};
  var rest = ${gradient} - ${means}[c];
  rest = rest - normalized * ${means}[c + ${this.channels / width}u];
  return rest * ${row(1)};`;
  }
}
