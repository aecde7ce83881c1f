// Trains on one machine, with a coordinator in this process and worker processes that connect over loopback: the
// `train` function of the library.
import { randomBytes } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { availableParallelism } from 'node:os';
import { planCoordinator, startCoordinator, type Coordinator, type CoordinatorOptions } from '../coordinator/main.js';
import type { ServerTlsFiles } from '../coordinator/connections/server-tls.js';
import type { EngineSettings } from '../worker/engine.js';
import { assertSupported } from '../worker/engines/registry.js';
import { planWorkers, startLocalWorkers, type ProcessEvents } from './worker-processes.js';

/** Options for the worker processes on this machine. */
export interface LocalWorkerOptions extends EngineSettings {
  /**
   * Number of worker processes on the CPU or, with the `webgpu` engine, on one GPU. The default is one worker per GPU if
   * TensorFlow is installed for GPUs, one with `webgpu`, and otherwise one per CPU core, but at most one per slice.
   */
  workers?: number | undefined;
  /**
   * GPUs to use, with one worker process each: `all`, or indices such as `0,2`, as listed by nvidia-smi or, with the `webgpu`
   * engine, by `lockstep doctor`. Cannot be combined with `workers`.
   */
  gpus?: string | undefined;
  /** CPU threads per worker; 1 by default. */
  threads?: number | undefined;
}

export interface TrainOptions
  extends
    Omit<
      CoordinatorOptions,
      'host' | 'workersToken' | 'minWorkers' | 'pauseBelow' | 'waitTimeoutMs' | keyof ServerTlsFiles
    >,
    LocalWorkerOptions {}

export interface Training extends Coordinator {
  readonly processes: EventEmitter<ProcessEvents>;
  /** Kills the worker processes, which makes `report` reject. */
  kill(): void;
}

/**
 * Starts a coordinator and its workers. Resolves once the worker processes have been started; `report` settles when the
 * run has ended. Throws the same errors as startCoordinator, and `bad-option` for invalid `workers` or `gpus`.
 */
export async function train(options: TrainOptions): Promise<Training> {
  const { workers, gpus, threads = 1, precision, tensorFlowMode, xla, port = 0, ...rest } = options;
  const token = randomBytes(16).toString('hex');
  const { slices, engine } = (await planCoordinator(rest)).config;
  const engineChoice = { engine, threads, precision, tensorFlowMode, xla };
  await assertSupported(engine, engineChoice);
  const defaultWorkers = Math.min(slices, availableParallelism());
  const plans = await planWorkers({ engine, gpus, workers, defaultWorkers });
  const coordinator = await startCoordinator({ ...rest, port, workersToken: token, minWorkers: plans.length });
  return { ...coordinator, ...startLocalWorkers(coordinator, token, plans, engineChoice) };
}
