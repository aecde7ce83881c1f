// The library's evaluate: evaluates a checkpoint on one machine, with worker processes that connect over loopback.
import { randomBytes } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { availableParallelism } from 'node:os';
import { startEvaluation, type Evaluation, type EvaluationOptions } from '../coordinator/evaluation-run.js';
import { recordFormatOf } from '../shared/dataset/record-format.js';
import { evaluationShardImages } from '../coordinator/dataset/shard-store.js';
import type { LocalWorkerOptions } from '../single-node/train.js';
import type { EngineName } from '../shared/engine-names.js';
import { planWorkers, startLocalWorkers, type ProcessEvents } from '../single-node/worker-processes.js';

/**
 * Options for `evaluate`. The options for workers are those of `train`, except that the default number of workers on
 * the CPU is at most one per evaluation shard of up to 250 images.
 */
export interface EvaluateOptions
  extends Omit<EvaluationOptions, 'host' | 'port' | 'token' | 'tokenFile' | 'waitTimeoutMs'>, LocalWorkerOptions {
  /** Engine of the workers; `auto`, the default, is the first one that loads. */
  engine?: EngineName | undefined;
}

export interface LocalEvaluation extends Evaluation {
  readonly processes: EventEmitter<ProcessEvents>;
  /** Kills the worker processes. `report` then rejects. */
  kill(): void;
}

/**
 * Evaluates a checkpoint with local workers. Resolves once the workers have been started; `report` settles when the
 * evaluation has ended. Throws the same errors as startEvaluation, and `bad-option` for invalid `workers` or `gpus`.
 */
export async function evaluate(options: EvaluateOptions): Promise<LocalEvaluation> {
  const { workers, gpus, engine = 'auto', threads = 1, precision, tensorFlowMode, xla, ...rest } = options;
  const token = randomBytes(16).toString('hex');
  const evaluation = await startEvaluation({ ...rest, port: 0, token });
  try {
    const shardImages = evaluationShardImages(recordFormatOf(evaluation.checkpoint.dataset));
    const defaultWorkers = Math.min(Math.ceil(evaluation.images / shardImages), availableParallelism());
    const plans = await planWorkers({ engine, gpus, workers, defaultWorkers });
    const engineChoice = { engine, threads, precision, tensorFlowMode, xla };
    return { ...evaluation, ...startLocalWorkers(evaluation, token, plans, engineChoice) };
  } catch (error) {
    evaluation.stop();
    throw error;
  }
}
