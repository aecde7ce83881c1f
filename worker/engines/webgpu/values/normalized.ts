// Values of batch norm, computed when a kernel loads them.
import { typeOf, type Kernel, type Width } from '../wgsl/kernel.js';
import type { Resource } from '../memory/resources.js';
import { Mapped, type Value } from './value.js';

/**
 * Factors of a norm, [6, channels]: mean, gamma / deviation, beta, 1 / deviation, and, in the backward pass, the means of
 * the gradients and of GammaGradient. One array, because a kernel can bind few.
 */
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
  protected combine(kernel: Kernel, width: Width, gradient: string, x: string): string {
    const row = (index: number) => this.row(kernel, width, index);
    return `  let normalized = (${x} - ${row(0)}) * ${row(3)};
  var rest = ${gradient} - ${row(4)};
  rest = rest - normalized * ${row(5)};
  return rest * ${row(1)};`;
  }
}
