// Runs one thread's share of a model's work. Each thread derives the same plan and the same passes independently.
import type { ModelLayout } from '../../../shared/network/layout.js';
import { instantiateKernels } from './kernels.js';
import { ModelMemory } from './model-memory.js';
import type { Mode, PassOptions } from './operations/operation.js';
import { buildProgram, type Program } from './operations/program.js';
import type { Pass, Work } from './passes/pass.js';
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
  readonly memory: ModelMemory;
  readonly team: ThreadTeam;
  readonly programs: Readonly<Record<Mode, Program>>;
  /** Passes that prepare new weights. */
  readonly weightPasses: readonly Pass[];
  readonly #thread: number;

  constructor({ module, memory, layout, thread, threads, ...passOptions }: RunnerOptions) {
    const kernels = instantiateKernels(module, memory);
    this.#thread = thread;
    this.team = new ThreadTeam(memory, threads);
    this.memory = new ModelMemory(layout, threads);
    const { fixed, arrays, sums } = this.memory;
    const build = (mode: Mode) => buildProgram(mode, { kernels, fixed, arrays, sums, ...passOptions });
    this.programs = { train: build('train'), evaluate: build('evaluate') };
    this.memory.addPrograms(Object.values(this.programs));
    this.weightPasses = weightPasses(kernels, fixed);
  }

  /** Computes this thread's share of every job until a stop job. */
  runJobs(): void {
    let last = 0;
    try {
      while (true) {
        const job = this.team.nextJob(last);
        if (job.kind === 'stop') break;
        last = job.number;
        this.run(job);
      }
    } catch (thrown) {
      this.team.fail();
      throw thrown;
    }
  }

  /**
   * Computes this thread's tiles in all passes of a job. Returns when all threads have finished the job.
   * @param onStage called after each stage of this thread's tiles
   */
  run({ kind, count, capacity }: Job, onStage?: (work: Work) => void): void {
    if (kind === 'stop') return;
    if (capacity !== this.memory.capacity) this.memory.place(capacity);
    const { threads } = this.team;
    const memory = this.memory.threads[this.#thread];
    for (const pass of kind === 'weights' ? this.weightPasses : this.programs[kind].passes) {
      const tiles = pass.tileCount(count);
      const end = Math.floor((tiles * (this.#thread + 1)) / threads);
      for (let tile = Math.floor((tiles * this.#thread) / threads); tile < end; tile++) {
        pass.run(tile, count, memory, onStage);
      }
      this.team.meet();
    }
  }
}
