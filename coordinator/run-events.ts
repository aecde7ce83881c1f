// What a run tells its listeners while it goes on. run-journal.ts is who tells it.
import type { Metrics } from './evaluation.js';
import type { StepPhases } from './report.js';

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

export interface RunEvents {
  step: [StepEvent];
  validation: [EvaluationEvent];
  test: [EvaluationEvent];
  checkpoint: [{ step: number; path: string }];
  workerJoined: [{ name: string; address: string; engine: string; fingerprint: string; workers: number }];
  workerLost: [{ name: string; address: string; reason: string; workers: number }];
  /** Slices of a running step went to other workers. */
  slicesReassigned: [{ step: number; slices: number }];
  /** The run cannot go on before this many workers are here. */
  waiting: [{ workers: number; needed: number }];
  /** A worker with another fingerprint joined: from here on the bits depend on who computes what. */
  inexact: [{ name: string; fingerprint: string; first: string }];
}
