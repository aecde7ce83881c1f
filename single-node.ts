// One machine: a coordinator and its worker processes, over real WebSockets on loopback. The library's train.
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { availableParallelism } from 'node:os';
import { startCoordinator, type Coordinator, type CoordinatorOptions } from './coordinator/main.js';
import type { Report } from './coordinator/report.js';
import { planRun } from './coordinator/resume.js';
import type { EngineSettings } from './worker/engine.js';
import type { EngineName } from './worker/engines/open.js';
import {
  howItEnded,
  planWorkers,
  startWorkerProcess,
  whyItEnded,
  whyNobodyIsLeft,
  type WorkerProcess,
} from './worker-processes.js';
import { engineArguments } from './worker/worker-arguments.js';

/** Worker processes that do not end by themselves after the goodbye are ended. */
const exitTimeoutMs = 5_000;

export interface TrainOptions
  extends Omit<CoordinatorOptions, 'host' | 'token' | 'minWorkers' | 'pauseBelow' | 'waitTimeoutMs'>, EngineSettings {
  /**
   * Worker processes on the CPU. Unless said, one a GPU where TensorFlow is installed for them; else as many as there are
   * cores, at most one a slice.
   */
  workers?: number | undefined;
  /** GPUs, counted as nvidia-smi counts: a worker process each. `all`, or `0,2`. Not together with `workers`. */
  gpus?: string | undefined;
  /** What they compute with; `auto` unless said. */
  engine?: EngineName | undefined;
  /** Threads of each worker; 1 unless said. */
  threads?: number | undefined;
}

/** What happens to the worker processes, beside what the coordinator tells. */
export interface ProcessEvents {
  /** A worker process ended before the run did. None is started again. `why` is its own last words, if it had any. */
  workerExited: [{ name: string; how: string; why: string }];
}

export interface Training extends Coordinator {
  readonly processes: EventEmitter<ProcessEvents>;
  /** Ends the worker processes at once; the report rejects. */
  kill(): void;
}

/**
 * Trains on this machine alone. Resolves when the workers have been started; `report` tells how it ended.
 * Throws as startCoordinator does.
 */
export async function train(options: TrainOptions): Promise<Training> {
  const { workers, gpus, engine = 'auto', threads = 1, precision, tensorFlowMode, xla, port = 0, ...rest } = options;
  const token = randomBytes(16).toString('hex');
  const { dataset: _dataset, clock: _clock, stopGraceMs: _grace, ...known } = rest;
  const { resume, override, ...input } = known;
  const { slices } = (await planRun(input, { resume, override })).config;
  const defaultWorkers = Math.min(slices, availableParallelism());
  const plans = await planWorkers({ engine, gpus, workers, defaultWorkers });
  const coordinator = await startCoordinator({ ...rest, port, token, minWorkers: plans.length });
  const processes = new EventEmitter<ProcessEvents>();
  // Without a cache on disk: over loopback a shard comes faster than from there.
  const settings = engineArguments({ engine, threads, precision, tensorFlowMode, xla });
  const args = [coordinator.url, ...settings, '--no-cache', '--quiet'];
  const started = plans.map((plan) =>
    startWorkerProcess(plan, { args, environment: { LOCKSTEP_TOKEN: token }, output: 'ignore' }),
  );
  let running = started.length;
  let runEnded = false;
  async function watch(worker: WorkerProcess): Promise<void> {
    await worker.exited;
    running--;
    if (runEnded) return;
    processes.emit('workerExited', { name: worker.name, how: howItEnded(worker), why: whyItEnded(worker) });
    if (running === 0) coordinator.stop(whyNobodyIsLeft(started));
  }
  for (const worker of started) void watch(worker);

  async function endWorkers(): Promise<Report> {
    try {
      return await coordinator.report;
    } finally {
      runEnded = true;
      const timer = setTimeout(() => {
        for (const { child } of started) child.kill('SIGKILL');
      }, exitTimeoutMs);
      await Promise.all(started.map((worker) => worker.exited));
      clearTimeout(timer);
    }
  }
  const report = endWorkers();
  // Whoever holds `report` sees its rejection; without a holder it must not end the process.
  report.catch(() => undefined);
  return {
    ...coordinator,
    processes,
    report,
    kill: () => {
      for (const { child } of started) child.kill('SIGKILL');
    },
  };
}
