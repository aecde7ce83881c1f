// What a run tells its listeners while it goes on. run-journal.ts is who tells it.
import type { Metrics } from './metrics.js';
import type { RunPhase } from '../../shared/monitoring/run-status.js';
import type { MetricsLine, StepPhases } from './report.js';

/** One update as listeners see it. */
export interface StepEvent extends Metrics {
  /** Updates made, this one included. */
  step: number;
  /** Counted from 1. */
  epoch: number;
  learningRate: number;
  imagesPerSecond: number;
  phases: StepPhases;
}
export interface EvaluationEvent extends Metrics {
  step: number;
  epoch: number;
}

/** The end of an epoch, before its validation: means over its steps. */
export interface EpochEvent extends EvaluationEvent {
  /** The trainable vector after the epoch's last step. The run's own, like `gradient`: read it at once, do not keep it. */
  weights: Float32Array;
  /** The last step's mean gradient as the optimizer took it, weight decay included. */
  gradient: Float32Array;
}

/** What an operator may have done with a running run. */
export type OperatorAction = 'pause' | 'continue' | 'checkpoint' | 'stop' | 'drop';

export interface RunEvents {
  step: [StepEvent];
  epoch: [EpochEvent];
  validation: [EvaluationEvent];
  test: [EvaluationEvent];
  /** What the run does from now on is something else. */
  phase: [{ phase: RunPhase }];
  /** The run goes on from a checkpoint: its path, and the updates made until then. */
  resumed: [{ step: number; path: string }];
  /** A checkpoint was saved, in so many seconds. */
  checkpoint: [{ step: number; path: string; seconds: number }];
  /** A checkpoint could not be saved, for a full disk say; the run goes on. `saved` says which one there is. */
  checkpointFailed: [{ step: number; reason: string; saved: string }];
  /** Lines of metrics.jsonl could not be written; they are tried again with the next one. */
  metricsFailed: [{ reason: string }];
  /** TensorBoard's event files could not be written; the run goes on without them. */
  tensorBoardFailed: [{ reason: string }];
  /** `id` is the connection's: a worker that joins again has another. */
  workerJoined: [
    { id: number; name: string; address: string; engine: string; fingerprint: string; device: string; workers: number },
  ];
  workerLost: [{ id: number; name: string; address: string; reason: string; workers: number }];
  /** Slices of a running step went to other workers. */
  slicesReassigned: [{ step: number; slices: number }];
  /** A worker was late in a step, and its slices were given to others as well. */
  straggler: [{ step: number; name: string; slices: number; helpers: readonly string[] }];
  /** The run cannot go on before this many workers are here. */
  waiting: [{ workers: number; needed: number }];
  /** A worker with another fingerprint joined: from here on the bits depend on who computes what. */
  inexact: [{ name: string; fingerprint: string; first: string }];
  /** The timeline of these steps is written. */
  timeline: [{ file: string; from: number; to: number }];
  /** A line of metrics.jsonl. */
  logged: [MetricsLine];
  /** An operator had this done. `detail` names who, and what it was done to. */
  operated: [{ step: number; action: OperatorAction; detail: string }];
  /** Something about who may come in: tokens were read again, or could not be. */
  door: [{ message: string }];
}
