// Runs one thread's share of a model's work. Each thread derives the same plan and the same passes independently.
import type { ModelLayout } from '../../../shared/network/layout.js';
import { instantiateKernels, type Kernels } from './kernels.js';
import { planFixed, type FixedPlan } from './memory/fixed-plan.js';
import { planTensors, type TensorPlan } from './memory/tensor-plan.js';
import type { Pass, PassOptions, Work } from './passes/pass.js';
import { stepPasses } from './passes/step-passes.js';
import { weightPasses } from './passes/weight-passes.js';
import { ThreadTeam, type Job } from './thread-team.js';

/** Options for one thread's runner. They can be posted to another thread. */
export interface RunnerOptions extends PassOptions {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  layout: ModelLayout;
  /** Zero-based index of the runner's thread. */
  thread: number;
  /** Number of threads that share the model's work. */
  threads: number;
}

export class StepRunner {
  readonly plan: FixedPlan;
  readonly team: ThreadTeam;
  readonly #kernels: Kernels;
  readonly #thread: number;
  readonly #passOptions: PassOptions;
  readonly #weightPasses: Pass[];
  readonly #passes = new Map<string, Pass[]>();
  #tensors: TensorPlan;

  constructor({ module, memory, layout, thread, threads, ...passOptions }: RunnerOptions) {
    this.#passOptions = passOptions;
    this.#kernels = instantiateKernels(module, memory);
    this.#thread = thread;
    this.plan = planFixed(layout, threads);
    this.team = new ThreadTeam(memory, threads);
    this.#tensors = planTensors(this.plan, 0);
    this.#weightPasses = weightPasses(this.#kernels, this.plan);
  }

  get tensors(): TensorPlan {
    return this.#tensors;
  }

  /** Switches to another tensor plan. The memory must be large enough, and zero from tensors.begin to tensors.end. */
  setTensors(tensors: TensorPlan): void {
    this.#tensors = tensors;
    this.#passes.clear();
  }

  /**
   * Computes this thread's tiles in all passes of a job. Returns when all threads have finished the job.
   * @param onStage called after each stage of this thread's tiles
   */
  run(job: Job, onStage?: (work: Work) => void): void {
    if (job.capacity !== this.#tensors.capacity) this.setTensors(planTensors(this.plan, job.capacity));
    const { threads } = this.team;
    const memory = this.plan.threads[this.#thread];
    for (const pass of this.#passesOf(job)) {
      const end = Math.floor((pass.tiles * (this.#thread + 1)) / threads);
      for (let tile = Math.floor((pass.tiles * this.#thread) / threads); tile < end; tile++) {
        pass.run(tile, memory, onStage);
      }
      this.team.meet();
    }
  }

  #passesOf({ kind, count }: Job): Pass[] {
    if (kind === 'stop') return [];
    if (kind === 'weights') return this.#weightPasses;
    const key = `${kind} ${count}`;
    let passes = this.#passes.get(key);
    if (!passes) {
      passes = stepPasses({
        kernels: this.#kernels,
        fixed: this.plan,
        tensors: this.#tensors,
        imageCount: count,
        mode: kind,
        ...this.#passOptions,
      });
      this.#passes.set(key, passes);
    }
    return passes;
  }
}
