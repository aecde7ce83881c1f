// Messages from the coordinator to a dashboard page, sent as JSON over /watch: one union, with each message documented
// as a sentence in the coordinator's voice.
import type { RunStatus } from './run-status.js';
import type { Difference } from './difference.js';
import type { HistoryColumns, StepPoint } from './step-history.js';
import type { StepView } from './step-view.js';

/** Properties that do not change during a run. */
export interface RunFacts {
  lockstepVersion: string;
  runId: string;
  /** Run directory, as specified by the user. */
  runDirectory: string;
  /** Source of the images, for display. */
  dataset: string;
  /** Name of the network, for example resnet20. */
  model: string;
  trainableWeights: number;
  totalSteps: number;
  stepsPerEpoch: number;
  batchSize: number;
  slices: number;
  seed: number;
}

export interface EvaluationPoint {
  split: 'validation' | 'test';
  /** Number of updates made before the evaluation. */
  step: number;
  loss: number;
  accuracy: number;
}

/** An event line in metrics.jsonl. */
export interface EventLine {
  step: number;
  /** Time of the event, in ISO 8601 format and UTC. */
  time: string;
  event: string;
  detail: string;
}

export type WatchMessage =
  /** "You are looking at this run." */
  | { type: 'run'; facts: RunFacts; isRecorded: boolean }
  /** "This is everything so far; discard what I sent before. The live state is null if the run is a recorded one." */
  | {
      type: 'history';
      steps: HistoryColumns;
      evaluations: readonly EvaluationPoint[];
      events: readonly EventLine[];
      live: LiveState | null;
    }
  /** "This has happened since my last message, and this is how the live state has changed." */
  | {
      type: 'update';
      steps: readonly StepPoint[];
      evaluations: readonly EvaluationPoint[];
      events: readonly EventLine[];
      /** Difference from the last live state sent; null if nothing has changed. */
      live: Difference | null;
    }
  /** "The run has ended, and this is my last message." */
  | { type: 'ended'; ending: Ending };

export interface LiveState {
  status: RunStatus;
  /** Whether the run is paused or stopping, or will be after the current step. */
  control: 'running' | 'pausing' | 'paused' | 'stopping';
  step: StepView | null;
  /** The last step with a recovery (see hasRecovery), and the time since the step ended. */
  lastRecovery: { view: StepView; agoMs: number } | null;
}

/** A worker's entry in report.json. */
export interface WorkerSummary {
  name: string;
  /** Number of images whose gradients from this worker were used. */
  images: number;
  /** Seconds spent augmenting images, computing gradients, adding them up, and sending them. */
  busySeconds: number;
  /** Seconds between sending answers and receiving the next weights. */
  waitSeconds: number;
  /** Number of steps in which this worker was the last of several to answer. */
  timesWaitedFor: number;
  /** Seconds during which only this worker's answer was missing. */
  secondsWaitedFor: number;
}

/** The fields of report.json that a page shows. */
export interface ReportSummary {
  weightsSha256: string;
  exact: boolean;
  imagesSeen: number;
  imagesPerSecond: number;
  wallSeconds: number;
  /** Null if there are no test images. */
  test: { loss: number; accuracy: number } | null;
  workers: WorkerSummary[];
}

/** How a run ended, with its report or the reason. */
export type Ending = { how: 'finished'; report: ReportSummary } | { how: 'interrupted' | 'failed'; message: string };
