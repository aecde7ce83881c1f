// Everything that happens in a run, as one union of plain data. Each event is published once, on the run's RunEventBus.
import type { EngineCandidate, EngineIdentity } from '../../shared/protocol/engine-identity.js';
import type { PartialSumTiming } from '../../shared/protocol/message-fields.js';
import type { RunPhase } from '../../shared/monitoring/run-status.js';
import type { WorkReason } from '../../shared/monitoring/step-view.js';
import type { SliceRange } from '../../shared/reduction/slices.js';
import type { Outcome } from './evaluation-report.js';
import type { Metrics } from './metrics.js';
import type { Report } from './report.js';
import type { StepPhases, WorkerContribution } from './step-phases.js';

/** A request by an operator. */
export type OperatorAction = 'pause' | 'continue' | 'checkpoint' | 'stop' | 'drop' | 'create-link' | 'revoke-link';

/** One round trip to a worker, timed at both ends; see ClockOffset. */
export interface ClockSample {
  /** Time when the coordinator sent its message, on the coordinator's clock. */
  sentMs: number;
  /** Time when the message arrived, on the worker's clock; equal to `repliedMs` if the worker replied immediately. */
  receivedMs: number;
  /** Time when the worker replied, on the worker's clock. */
  repliedMs: number;
  /** Time when the reply arrived, on the coordinator's clock. */
  returnedMs: number;
}

/** Identifies a connected worker. A worker that rejoins gets a new id. */
export interface WorkerRef {
  id: number;
  name: string;
}

/** Outcome of a run. */
export type RunEnd = { how: 'finished'; report: Report } | { how: 'interrupted' | 'failed'; message: string };

/** A run event. `step` is the number of updates made; `time` is in ISO 8601 format in UTC. */
export type RunEvent = { step: number; time: string } &
  /** The run entered another phase. */
  (
    | { type: 'phase'; phase: RunPhase }
    /** The run resumed from this checkpoint. */
    | { type: 'resumed'; path: string }
    /** The run started from the weights in a file that lacks these arrays of the network, or has these others. */
    | { type: 'partial-weights'; path: string; loaded: number; missing: readonly string[]; unused: readonly string[] }
    /** The optimizer made an update. `epoch` is one-based; `learningRate` is the rate used in this update. */
    | ({
        type: 'step';
        epoch: number;
        learningRate: number;
        imagesPerSecond: number;
        phases: StepPhases;
        contributions: readonly WorkerContribution[];
        /** Number of gradient values that were clipped; missing if the run's encoding is float32. */
        clippedValues?: number | undefined;
      } & Metrics)
    /**
     * An epoch ended; its validation follows. The metrics are means over its steps; `gradient` is the last step's mean
     * gradient, including weight decay. The run reuses both arrays: read them synchronously and do not keep them.
     */
    | ({ type: 'epoch'; epoch: number; weights: Float32Array; gradient: Float32Array } & Metrics)
    /** An evaluation ended. `outcome` contains the metrics too. */
    | ({ type: 'validation'; epoch: number; outcome: Outcome } & Metrics)
    | ({ type: 'test'; epoch: number; outcome: Outcome } & Metrics)
    /** A checkpoint was saved. */
    | { type: 'checkpoint'; path: string; seconds: number }
    /** A checkpoint could not be saved, for example because the disk is full; training continues. */
    | { type: 'checkpoint-failed'; reason: string; lastCheckpoint: string }
    /** Lines of metrics.jsonl could not be written. They are kept, and written with the next line. */
    | { type: 'metrics-failed'; reason: string }
    /** A TensorBoard event file could not be written; training continues without it. */
    | { type: 'tensorboard-failed'; reason: string }
    /**
     * A worker joined. Until the run's engine has been chosen, the engine of a worker that offers several is `auto`, and
     * its fingerprint lists those that it offers.
     */
    | ({
        type: 'worker-joined';
        address: string;
        /** Name of the relay that the worker computes behind, if it does. */
        relay?: string | undefined;
        /** Number of connected workers that compute, including this one. */
        workers: number;
      } & WorkerRef &
        EngineIdentity)
    /** A relay connected. The workers behind it are announced one by one. */
    | ({ type: 'relay-joined'; address: string } & WorkerRef)
    | ({ type: 'relay-lost'; address: string; reason: string; bytesSent: number; bytesReceived: number } & WorkerRef)
    /** The workers measure their engines, because the run has not chosen one yet and they offer several. */
    | { type: 'measuring-engines'; workers: number; engines: readonly string[] }
    /**
     * The run's engine was chosen. `candidates` starts with it; their speeds are 0 if there was no choice to make.
     * `workersWithout` names the workers that do not offer it.
     */
    | {
        type: 'engine-chosen';
        engine: string;
        fingerprint: string;
        candidates: readonly EngineCandidate[];
        workersWithout: readonly string[];
      }
    /** A worker uses this engine from now on. */
    | ({ type: 'engine-assigned' } & WorkerRef & EngineIdentity)
    | ({
        type: 'worker-lost';
        address: string;
        reason: string;
        bytesSent: number;
        bytesReceived: number;
        /** Name of the relay that the worker computed behind, if it did. Its bytes are those of the relay. */
        relay?: string | undefined;
        /** Number of workers still connected. */
        workers: number;
      } & WorkerRef)
    /** Slices of the step were reassigned because their worker left. Published after the step. */
    | { type: 'slices-reassigned'; slices: number }
    /**
     * A worker was a straggler in the step: its slices were also assigned to other workers. Published after the step.
     */
    | { type: 'straggler'; name: string; slices: number; speculative: readonly string[] }
    /** The run is waiting for workers. */
    | { type: 'waiting'; workers: number; needed: number }
    /**
     * A worker uses another fingerprint than the run: from now on, the weights depend on which worker computes which
     * slices. `expected` is the run's fingerprint.
     */
    | {
        type: 'inexact';
        name: string;
        fingerprint: string;
        expected: string;
        /** Whether the worker computed the same probe, and only hides which device it has. */
        exactAsProbed: boolean;
      }
    /** A timeline of the steps `from` to `to`, both one-based, was written. */
    | { type: 'timeline'; file: string; from: number; to: number }
    /** An operator's request was accepted. `detail` names the operator and, if applicable, the worker. */
    | { type: 'operated'; action: OperatorAction; detail: string }
    /** A connection was refused, or tokens or certificates were reloaded or could not be reloaded. */
    | { type: 'access'; message: string }
    /** Progress of an evaluation without training: `done` of `images` images have been evaluated. */
    | { type: 'evaluation-progress'; done: number; images: number }
    // Events within a step:
    | { type: 'step-started' }
    /** A worker was assigned ranges, which it computes in this order. */
    | { type: 'work-assigned'; worker: WorkerRef; ranges: readonly SliceRange[]; reason: WorkReason }
    /** The assignments at the start of the step have been sent, preceded by the weights where needed. */
    | { type: 'broadcast' }
    /** A partial sum, but not a probe's, arrived and is about to be added to the total unless it is a duplicate. */
    | { type: 'answer-received'; worker: WorkerRef; range: SliceRange }
    /**
     * An answer was processed. `counted` is false for duplicates and probes; `remaining` is the number of unanswered
     * slices.
     */
    | { type: 'answer-handled'; worker: WorkerRef; range: SliceRange; counted: boolean; remaining: number }
    /** A worker is taking too long; its ranges are about to be assigned to other workers as well. */
    | { type: 'worker-late'; worker: WorkerRef }
    /** A worker left during the step. Its unanswered assignments, if any, are about to be reassigned. */
    | { type: 'work-lost'; worker: WorkerRef }
    /** Every slice has been answered, or the step was abandoned. */
    | { type: 'gradient-collected' }
    /** A worker reported timings, which it sends while a timeline is recorded. */
    | {
        type: 'worker-timing';
        worker: WorkerRef;
        timing: PartialSumTiming;
        /**
         * Only for a worker behind a relay: when the relay assigned the work and got the answer. These times and those of
         * the timing are by the relay's clock.
         */
        relayed?: { assignedMs: number; arrivedMs: number } | undefined;
      }
    | { type: 'clock-sample'; worker: WorkerRef; sample: ClockSample }
    /** The last event of a run. */
    | { type: 'ended'; end: RunEnd }
  );

/** An event to publish: the bus adds the time and, unless given, the step. */
export type NewRunEvent = {
  [Type in RunEvent['type']]: Omit<RunEventOf<Type>, 'time' | 'step'> & { step?: number };
}[RunEvent['type']];

export type RunEventOf<Type extends RunEvent['type']> = Extract<RunEvent, { type: Type }>;
