// The contents of report.json.
import type { EngineCount } from '../../shared/protocol/engine-identity.js';
import type { WorkerSummary } from '../../shared/monitoring/messages.js';
import type { Outcome } from './evaluation-report.js';
import type { Metrics } from './metrics.js';
import type { StepPhases } from './step-phases.js';

export type TestMetrics = Pick<Outcome, 'loss' | 'accuracy' | 'topFiveAccuracy'>;

/**
 * The result of a run, including everything before it was resumed. Only wallSeconds, imagesPerSecond, bytesSent,
 * bytesReceived, workers and phases are limited to the coordinator process that finished the run.
 */
export interface Report {
  lockstepVersion: string;
  seed: number;
  /** Hash of the pretrained weights that the run started from; null for random initial weights. */
  initialWeightsSha256: string | null;
  /** Number of updates made. */
  steps: number;
  /** Number of epochs started. */
  epochs: number;
  imagesSeen: number;
  /** Time from when enough workers had joined until testing ended and the last checkpoint was saved, in seconds. */
  wallSeconds: number;
  /** Training images processed per second of training, excluding validation and testing. */
  imagesPerSecond: number;
  /** Fingerprint of the engine that was chosen for the run, or that the configuration required. */
  fingerprint: string | null;
  /** Engines that workers used. */
  engines: EngineCount[];
  /**
   * Whether the weights are a pure function of configuration and seed: every worker had the run's fingerprint, and the
   * run was never resumed with a different configuration or different images.
   */
  exact: boolean;
  /**
   * As `exact`, but a worker whose device hides what it is counts too if it computed the same probe. Only the `webgpu`
   * engine has such devices.
   */
  exactAsProbed: boolean;
  workersJoined: number;
  /** Number of workers that left before the end of the run. */
  workersLost: number;
  /** Number of slices that were reassigned during a step because their worker left. */
  slicesReassigned: number;
  /** Steps of the checkpoints that the run was resumed from. */
  resumedAtSteps: readonly number[];
  /** Number of times that a worker was a straggler and its slices were also assigned to other workers. */
  stragglers: number;
  slicesDuplicated: number;
  /** Number of gradient values that were clipped when they were rounded to 8 bits; 0 if the encoding is float32. */
  clippedValues: number;
  /** Contribution of each worker. Workers are identified by name, so a worker that rejoined has a single entry. */
  workers: WorkerSummary[];
  /** See weightsSha256 in shared/network/layout-hash.ts. */
  weightsSha256: string;
  /** Mean metrics over the steps of the last epoch. */
  train: Metrics;
  validation: Metrics | null;
  /** Null if there are no test images. The results by class are in test.json. */
  test: TestMetrics | null;
  bytesSent: number;
  bytesReceived: number;
  /** Mean phase times over all steps; in a run with local steps, over all rounds. */
  phases: StepPhases;
}
