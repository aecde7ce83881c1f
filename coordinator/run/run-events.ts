// Everything that happens in a run, as one union of plain data. Each event is published once, on the run's RunEventBus.
import type { TimingMessage } from '../../shared/protocol/messages.js';
import type { RunPhase } from '../../shared/monitoring/run-status.js';
import type { WorkReason } from '../../shared/monitoring/step-view.js';
import type { SliceRange } from '../../shared/reduction/slices.js';
import type { Metrics } from './metrics.js';
import type { Report } from './report.js';
import type { StepPhases, WorkerContribution } from './step-phases.js';

/** A request by an operator. */
export type OperatorAction = 'pause' | 'continue' | 'checkpoint' | 'stop' | 'drop';

/** One round trip to a worker, timed at both ends; see ClockOffset. */
export interface ClockSample {
  /** When the coordinator sent its message, by the coordinator's clock. */
  sentMs: number;
  /** When the message arrived, by the worker's clock; equal to `repliedMs` if the worker replied at once. */
  receivedMs: number;
  /** When the worker replied, by its clock. */
  repliedMs: number;
  /** When the reply arrived, by the coordinator's clock. */
  returnedMs: number;
}

/** Identifies a connected worker. A worker that joins again has another id. */
export interface WorkerRef {
  id: number;
  name: string;
}

/** How a run ended. */
export type RunEnd = { how: 'finished'; report: Report } | { how: 'interrupted' | 'failed'; message: string };

/** One event. `step` is the number of updates made, `time` is ISO 8601 in UTC. */
export type RunEvent = { step: number; time: string } &
  /** The run enters another phase. */
  (
    | { type: 'phase'; phase: RunPhase }
    /** The run resumes from this checkpoint. */
    | { type: 'resumed'; path: string }
    /** One optimizer update. `epoch` counts from 1, `learningRate` is the update's. */
    | ({
        type: 'step';
        epoch: number;
        learningRate: number;
        imagesPerSecond: number;
        phases: StepPhases;
        contributions: readonly WorkerContribution[];
      } & Metrics)
    /**
     * The end of an epoch, before its validation: means over its steps; the weights and the last step's mean gradient,
     * weight decay included. Both arrays belong to the run: read them at once, do not keep them.
     */
    | ({ type: 'epoch'; epoch: number; weights: Float32Array; gradient: Float32Array } & Metrics)
    | ({ type: 'validation'; epoch: number } & Metrics)
    | ({ type: 'test'; epoch: number } & Metrics)
    /** A checkpoint was saved. */
    | { type: 'checkpoint'; path: string; seconds: number }
    /** A checkpoint could not be saved, for example because the disk is full; training continues. */
    | { type: 'checkpoint-failed'; reason: string; lastCheckpoint: string }
    /** Lines of metrics.jsonl could not be written. They are kept, and written with the next line. */
    | { type: 'metrics-failed'; reason: string }
    /** A TensorBoard event file could not be written; training continues without it. */
    | { type: 'tensorboard-failed'; reason: string }
    | ({
        type: 'worker-joined';
        address: string;
        engine: string;
        fingerprint: string;
        device: string;
        /** Connected workers, this one included. */
        workers: number;
      } & WorkerRef)
    | ({
        type: 'worker-lost';
        address: string;
        reason: string;
        bytesSent: number;
        bytesReceived: number;
        /** Workers that are left. */
        workers: number;
      } & WorkerRef)
    /** Slices of the step were reassigned because their worker left. Published after the step. */
    | { type: 'slices-reassigned'; slices: number }
    /** A worker was a straggler in the step: its slices were assigned to others as well. Published after the step. */
    | { type: 'straggler'; name: string; slices: number; speculative: readonly string[] }
    /** The run waits for workers. */
    | { type: 'waiting'; workers: number; needed: number }
    /** A worker with another fingerprint joined: from now on the weights depend on who computes what. */
    | { type: 'inexact'; name: string; fingerprint: string; first: string }
    /** The timeline of these steps was written. */
    | { type: 'timeline'; file: string; from: number; to: number }
    /** An operator's request was carried out. `detail` names the operator and the worker concerned. */
    | { type: 'operated'; action: OperatorAction; detail: string }
    /** A connection was refused, or tokens or certificates were reloaded, or could not be. */
    | { type: 'access'; message: string }
    /** An evaluation without training: images evaluated so far. */
    | { type: 'evaluation-progress'; done: number; images: number }
    // Within a step:
    | { type: 'step-started' }
    /** A worker was assigned ranges, to be computed in this order. */
    | { type: 'work-assigned'; worker: WorkerRef; ranges: readonly SliceRange[]; reason: WorkReason }
    /** Weights and assignments are on their way to all workers. */
    | { type: 'broadcast' }
    /** A partial sum arrived, and is about to be added. */
    | { type: 'answer-received'; worker: WorkerRef; range: SliceRange }
    /** The answer was handled. `counted` is false for duplicates and probes; `remaining` slices are unanswered. */
    | { type: 'answer-handled'; worker: WorkerRef; range: SliceRange; counted: boolean; remaining: number }
    /** A worker takes too long; its ranges are being assigned to others as well. */
    | { type: 'worker-late'; worker: WorkerRef }
    /** A worker left before it answered. */
    | { type: 'work-lost'; worker: WorkerRef }
    /** Every slice has been answered, or the step was abandoned. */
    | { type: 'gradient-collected' }
    /** A worker's timings, sent while a timeline is recorded. */
    | { type: 'worker-timing'; worker: WorkerRef; timing: TimingMessage }
    | { type: 'clock-sample'; worker: WorkerRef; sample: ClockSample }
    /** The last event of a run. */
    | { type: 'ended'; end: RunEnd }
  );

/** An event as it is published: the bus adds the time and, unless given, the step. */
export type NewRunEvent = {
  [Type in RunEvent['type']]: Omit<RunEventOf<Type>, 'time' | 'step'> & { step?: number };
}[RunEvent['type']];

export type RunEventOf<Type extends RunEvent['type']> = Extract<RunEvent, { type: Type }>;
