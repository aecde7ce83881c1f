// report.json.
import type { EngineCount } from '../../shared/protocol/engine-identity.js';
import type { WorkerSummary } from '../../shared/monitoring/messages.js';
import type { Metrics } from './metrics.js';
import type { StepPhases } from './step-phases.js';

/**
 * The result of a run, including the parts before it was resumed; but wallSeconds, imagesPerSecond, bytesSent,
 * bytesReceived, workers and phases cover only the coordinator process that finished it.
 */
export interface Report {
  lockstepVersion: string;
  seed: number;
  /** Hash of the pretrained weights that the run started from; null for random initial weights. */
  initialWeightsSha256: string | null;
  /** Updates made. */
  steps: number;
  /** Epochs started. */
  epochs: number;
  imagesSeen: number;
  /** From the start of the first step to the end of testing. */
  wallSeconds: number;
  /** Images trained on per second of training; validation and test do not count. */
  imagesPerSecond: number;
  engines: EngineCount[];
  /**
   * Whether the weights are a pure function of configuration and seed: every worker had the same fingerprint, and the run
   * was never resumed with another configuration or other images.
   */
  exact: boolean;
  workersJoined: number;
  /** Workers that left before the end. */
  workersLost: number;
  /** Slices of a running step that were reassigned because their worker left. */
  slicesReassigned: number;
  /** Steps of the checkpoints that the run was resumed from. */
  resumedAtSteps: readonly number[];
  /** Number of times a worker was a straggler and its slices were assigned to others as well. */
  stragglers: number;
  slicesDuplicated: number;
  /** What each worker did. Workers are told apart by name; one that rejoined has a single entry. */
  workers: WorkerSummary[];
  /** See weightsSha256 in shared/network/layout-hash.ts. */
  weightsSha256: string;
  /** Means over the steps of the last epoch. */
  train: Metrics;
  validation: Metrics | null;
  test: Metrics;
  bytesSent: number;
  bytesReceived: number;
  /** Means over all steps. */
  phases: StepPhases;
}
