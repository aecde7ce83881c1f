// The dispatches of a training step or an evaluation, in order, and the tensors that they use.
import type { Kernel } from '../wgsl/kernel.js';
import { storeKernel } from '../kernels/elementwise.js';
import { Tensor } from '../memory/resources.js';
import { Stored, type Value } from '../values/value.js';

export const phases = ['images', 'forward', 'loss', 'input gradients', 'filter gradients', 'other gradients'] as const;
export type Phase = (typeof phases)[number];

export interface Dispatch {
  readonly kernel: Kernel;
  readonly code: string;
  readonly phase: Phase;
  /** Group of layers, for the profile. */
  readonly group: string;
}

export interface Program {
  readonly dispatches: readonly Dispatch[];
  readonly tensors: ReadonlySet<Tensor>;
  /** The logits, which stay in memory after the last dispatch. */
  readonly logits: Tensor;
}

/** Number of arrays that every device can bind at once. */
export const maxBindings = 8;

export class ProgramBuilder {
  readonly dispatches: Dispatch[] = [];
  readonly tensors = new Set<Tensor>();

  add(kernel: Kernel, phase: Phase, group: string): void {
    if (kernel.bindings.length > maxBindings) throw new Error(`a kernel binds ${kernel.bindings.length} arrays`);
    const index = this.dispatches.length;
    for (const { resource } of kernel.bindings) {
      if (!(resource instanceof Tensor)) continue;
      resource.first = Math.min(resource.first, index);
      resource.last = Math.max(resource.last, index);
      this.tensors.add(resource);
    }
    this.dispatches.push({ kernel, code: kernel.code, phase, group });
  }

  /** Returns a value in memory that is equal to this one. */
  store(value: Value, phase: Phase, group: string): Stored {
    if (value instanceof Stored) return value;
    const stored = new Stored(value.shape);
    this.add(storeKernel(value, stored), phase, group);
    return stored;
  }
}
