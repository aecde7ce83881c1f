// Evaluation on one machine: a coordinator for it and its worker processes, over loopback. The library's evaluate.
import { randomBytes } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { availableParallelism } from 'node:os';
import {
  startEvaluation,
  type Evaluation,
  type EvaluationOptions,
  type EvaluationReport,
} from '../coordinator/evaluation-run.js';
import { evaluationShardImages } from '../coordinator/dataset/shard-store.js';
import type { EngineSettings } from '../worker/engine.js';
import type { EngineName } from '../worker/engines/registry.js';
import { planWorkers, startLocalWorkers, type ProcessEvents } from '../single-node/worker-processes.js';

export interface EvaluateOptions
  extends Omit<EvaluationOptions, 'host' | 'port' | 'token' | 'tokenFile' | 'waitTimeoutMs'>, EngineSettings {
  /** Worker processes on the CPU; unless said, as `train` has it, but at most one a part of 250 images. */
  workers?: number | undefined;
  /** GPUs, a worker process each. Not together with `workers`. */
  gpus?: string | undefined;
  /** What they compute with; `auto` unless said. */
  engine?: EngineName | undefined;
  /** Threads of each worker; 1 unless said. */
  threads?: number | undefined;
}

export interface LocalEvaluation extends Evaluation {
  readonly processes: EventEmitter<ProcessEvents>;
  /** Ends the worker processes at once; the report rejects. */
  kill(): void;
}

/** Resolves when the workers have been started; `report` tells how it ended. Throws as startEvaluation does. */
export async function evaluate(options: EvaluateOptions): Promise<LocalEvaluation> {
  const { workers, gpus, engine = 'auto', threads = 1, precision, tensorFlowMode, xla, ...rest } = options;
  const token = randomBytes(16).toString('hex');
  const evaluation = await startEvaluation({ ...rest, port: 0, token });
  try {
    const parts = Math.ceil(evaluation.images / evaluationShardImages);
    const defaultWorkers = Math.min(parts, availableParallelism());
    const plans = await planWorkers({ engine, gpus, workers, defaultWorkers });
    const choice = { engine, threads, precision, tensorFlowMode, xla };
    const atWork = startLocalWorkers(plans, { url: evaluation.url, token, engine: choice }, (reason) =>
      evaluation.stop(reason),
    );
    const { processes, kill } = atWork;
    const report = reportAndEnd(evaluation, () => atWork.end());
    // Whoever holds `report` sees its rejection; without a holder it must not end the process.
    report.catch(() => undefined);
    return { ...evaluation, processes, kill, report };
  } catch (error) {
    evaluation.stop();
    throw error;
  }
}

async function reportAndEnd({ report }: Evaluation, endWorkers: () => Promise<void>): Promise<EvaluationReport> {
  try {
    return await report;
  } finally {
    await endWorkers();
  }
}
