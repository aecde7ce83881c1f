// One thread's share of a model's work. All threads of a model build the same plan and the same passes for themselves.
import type { ModelLayout } from '../../../shared/network/layout.js';
import { instantiateKernels, type Kernels } from './kernels.js';
import { planFixed, planTensors, type FixedPlan, type TensorPlan } from './memory-plan.js';
import { PassBuilder, weightPasses, type Pass, type PassOptions, type Work } from './step-passes.js';
import { ThreadTeam, type Job } from './thread-team.js';

/** What a thread is started with; it can be sent to another thread. */
export interface RunnerSetting extends PassOptions {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  layout: ModelLayout;
  thread: number;
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

  constructor({ module, memory, layout, thread, threads, ...passOptions }: RunnerSetting) {
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

  /** Lays the tensors out anew. The memory has room for them, and is zero there. */
  setTensors(tensors: TensorPlan): void {
    this.#tensors = tensors;
    this.#passes.clear();
  }

  /**
   * Runs this thread's parts of a job's passes, and returns when all threads have done theirs.
   * @param done called after each stage of this thread's parts
   */
  run(job: Job, done?: (work: Work) => void): void {
    if (job.capacity !== this.#tensors.capacity) this.setTensors(planTensors(this.plan, job.capacity));
    const { threads } = this.team;
    const memory = this.plan.threads[this.#thread];
    for (const pass of this.#passesOf(job)) {
      const end = Math.floor((pass.parts * (this.#thread + 1)) / threads);
      for (let part = Math.floor((pass.parts * this.#thread) / threads); part < end; part++) {
        pass.run(part, memory, done);
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
      passes = new PassBuilder(this.#kernels, this.plan, this.#tensors, {
        count,
        mode: kind,
        ...this.#passOptions,
      }).build();
      this.#passes.set(key, passes);
    }
    return passes;
  }
}
