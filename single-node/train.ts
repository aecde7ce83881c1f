// One machine: a coordinator and its worker processes, over real WebSockets on loopback. The library's train.
import { randomBytes } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { availableParallelism } from 'node:os';
import { configInputOf, startCoordinator, type Coordinator, type CoordinatorOptions } from '../coordinator/main.js';
import type { Report } from '../coordinator/run/report.js';
import { planRun } from '../coordinator/run/resume.js';
import type { ServerTlsFiles } from '../coordinator/connections/server-tls.js';
import type { EngineSettings } from '../worker/engine.js';
import type { EngineName } from '../worker/engines/registry.js';
import { planWorkers, startLocalWorkers, type ProcessEvents } from './worker-processes.js';

export interface TrainOptions
  extends
    Omit<
      CoordinatorOptions,
      'host' | 'token' | 'workersToken' | 'minWorkers' | 'pauseBelow' | 'waitTimeoutMs' | keyof ServerTlsFiles
    >,
    EngineSettings {
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
  const { slices } = (await planRun(configInputOf(rest), rest)).config;
  const defaultWorkers = Math.min(slices, availableParallelism());
  const plans = await planWorkers({ engine, gpus, workers, defaultWorkers });
  const coordinator = await startCoordinator({ ...rest, port, workersToken: token, minWorkers: plans.length });
  const workersAtWork = startLocalWorkers(
    plans,
    { url: coordinator.url, token, engine: { engine, threads, precision, tensorFlowMode, xla } },
    (reason) => coordinator.stop(reason),
  );

  async function endWorkers(): Promise<Report> {
    try {
      return await coordinator.report;
    } finally {
      await workersAtWork.end();
    }
  }
  const report = endWorkers();
  // Whoever holds `report` sees its rejection; without a holder it must not end the process.
  report.catch(() => undefined);
  const { processes, kill } = workersAtWork;
  return { ...coordinator, processes, report, kill };
}
