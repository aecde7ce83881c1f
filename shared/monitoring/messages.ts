// What the coordinator tells a page that watches, over /watch: one union, a sentence each in the speaker's voice. JSON.
import type { RunStatus } from './run-status.js';
import type { Difference } from './difference.js';
import type { HistoryColumns, StepPoint } from './step-history.js';
import type { StepView } from './step-view.js';

/** What does not change while a run goes on. */
export interface RunFacts {
  lockstepVersion: string;
  runId: string;
  /** The run's folder, as it was named. */
  runDirectory: string;
  /** Which images, in plain words. */
  dataset: string;
  /** Such as ResNet-20. */
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
  /** Updates made before it. */
  step: number;
  loss: number;
  accuracy: number;
}

/** A line of the log of events, as metrics.jsonl has it. */
export interface EventLine {
  step: number;
  /** ISO 8601, in UTC. */
  time: string;
  event: string;
  detail: string;
}

export type WatchMessage =
  /** "This is the run you are looking at." */
  | { type: 'run'; facts: RunFacts; isRecorded: boolean }
  /** "This is everything until now: forget what I told you before. Of a run that is over, there is nothing live to tell." */
  | {
      type: 'history';
      steps: HistoryColumns;
      evaluations: readonly EvaluationPoint[];
      events: readonly EventLine[];
      live: LiveState | null;
    }
  /** "This has happened since, and this is what has changed in how it stands." */
  | {
      type: 'update';
      steps: readonly StepPoint[];
      evaluations: readonly EvaluationPoint[];
      events: readonly EventLine[];
      /** To what was told last; null for nothing. */
      live: Difference | null;
    }
  /** "That was the run; I say no more." */
  | { type: 'ended'; ending: Ending };

export interface LiveState {
  status: RunStatus;
  /** What an operator asked for and is still to come. */
  control: 'running' | 'pausing' | 'paused' | 'stopping';
  step: StepView | null;
  /** The latest step in which something went wrong and was mended. */
  eventful: { view: StepView; agoMs: number } | null;
}

/** What report.json says of a worker. */
export interface WorkerSummary {
  name: string;
  /** Images whose gradients counted. */
  images: number;
  /** Augmenting, computing, adding and sending. */
  busySeconds: number;
  /** Between an answer and the next weights. */
  waitSeconds: number;
  /** Steps that ended with this worker's answer, after all others'. */
  timesWaitedFor: number;
  /** How long all others had answered in those steps. */
  secondsWaitedFor: number;
}

/** The parts of report.json that a page shows. */
export interface ReportSummary {
  weightsSha256: string;
  exact: boolean;
  imagesSeen: number;
  imagesPerSecond: number;
  wallSeconds: number;
  test: { loss: number; accuracy: number };
  workers: WorkerSummary[];
}

export interface Ending {
  how: 'finished' | 'interrupted' | 'failed';
  /** Why, where it is not finished. */
  message: string | null;
  /** What it came to; null where it is not finished. */
  report: ReportSummary | null;
}
