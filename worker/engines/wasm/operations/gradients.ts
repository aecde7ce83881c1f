// The gradients with respect to the operations' outputs, which are sums of the contributions of the operations that use
// them.
import type { Kernels } from '../kernels.js';
import { Tensor, type Form } from '../memory/tensor.js';
import type { PassBuilder } from '../passes/pass-builder.js';
import { stridesOf } from './addresses.js';

/** Output of an operation, as far as its gradient depends on it. */
interface Differentiable {
  readonly form: Form;
  /** Number of contributions to the gradient. */
  readonly uses: number;
  readonly producer: { prepareBackward(): void };
}

interface GradientState {
  /** Sum of the contributions so far; null before the first. */
  tensor: Tensor | null;
  /** Number of contributions to come. */
  missing: number;
}

export class Gradients {
  readonly #kernels: Kernels;
  readonly #passes: PassBuilder;
  readonly #states = new Map<Differentiable, GradientState>();
  /** Number of values whose gradient is in a tensor, and that still need it. */
  readonly #holders = new Map<Tensor, number>();

  constructor(kernels: Kernels, passes: PassBuilder) {
    this.#kernels = kernels;
    this.#passes = passes;
  }

  /** Returns the complete gradient with respect to a value. */
  of(value: Differentiable): Tensor {
    return this.#stateOf(value).tensor!;
  }

  /** Returns whether the next contribution completes the gradient. */
  isLast(value: Differentiable): boolean {
    return this.#stateOf(value).missing === 1;
  }

  /**
   * Adds a contribution.
   * @param write adds stages that store the contribution in the target, or, if `adds` is true, add it to the target
   */
  contribute(value: Differentiable, write: (target: Tensor, adds: boolean) => void): void {
    const state = this.#stateOf(value);
    if (state.tensor === null) write(this.#hold(state, new Tensor(value.form)), false);
    else write(this.#makeExclusive(state), true);
    this.#count(value, state);
  }

  /**
   * Adds a contribution whose stages can add another tensor. Returns null as the other if there is none; the other may
   * be the target.
   */
  contributeWith(value: Differentiable, write: (target: Tensor, other: Tensor | null) => void): void {
    const state = this.#stateOf(value);
    const other = state.tensor;
    if (other !== null && this.#isExclusive(other)) {
      write(other, other);
    } else {
      if (other !== null) this.#release(other);
      write(this.#hold(state, new Tensor(value.form)), other);
    }
    this.#count(value, state);
  }

  /** Adds a contribution that is equal to a gradient in another tensor. */
  passThrough(value: Differentiable, gradient: Tensor): void {
    const state = this.#stateOf(value);
    if (state.tensor === null) this.#hold(state, gradient);
    else this.#copy(gradient, this.#makeExclusive(state), true);
    this.#count(value, state);
  }

  /** Returns the gradient in a tensor that may be changed, because no other value needs it. */
  exclusive(value: Differentiable): Tensor {
    return this.#makeExclusive(this.#stateOf(value));
  }

  /** Declares that the gradient with respect to this value is not needed any more. */
  release(value: Differentiable): void {
    this.#release(this.of(value));
  }

  #stateOf(value: Differentiable): GradientState {
    let state = this.#states.get(value);
    if (state === undefined) {
      state = { tensor: null, missing: value.uses };
      this.#states.set(value, state);
    }
    return state;
  }

  #hold(state: GradientState, tensor: Tensor): Tensor {
    state.tensor = tensor;
    this.#holders.set(tensor, (this.#holders.get(tensor) ?? 0) + 1);
    return tensor;
  }

  #release(tensor: Tensor): void {
    this.#holders.set(tensor, this.#holders.get(tensor)! - 1);
  }

  #isExclusive(tensor: Tensor): boolean {
    return this.#holders.get(tensor) === 1;
  }

  #makeExclusive(state: GradientState): Tensor {
    const shared = state.tensor!;
    if (this.#isExclusive(shared)) return shared;
    this.#release(shared);
    const own = this.#hold(state, new Tensor(shared.form));
    this.#copy(shared, own, false);
    return own;
  }

  #copy(from: Tensor, to: Tensor, adds: boolean): void {
    const { height, width, depth } = from.form;
    this.#passes.add({
      phase: 'other gradients',
      group: 'all',
      tensors: [from, to],
      run: (block, memory) => {
        const source = stridesOf(from, block, memory);
        const target = stridesOf(to, block, memory);
        this.#kernels.copyChannels(...source, ...target, adds, height, width, depth, block.first, block.count);
      },
    });
  }

  #count(value: Differentiable, state: GradientState): void {
    if (--state.missing === 0) value.producer.prepareBackward();
  }
}
