// The lines of metrics.jsonl, and the events that they are made from.
import type { Metrics } from './metrics.js';
import type { OperatorAction, RunEvent } from './run-events.js';
import type { StepPhases } from './step-phases.js';

/** One line of metrics.jsonl. `time` is in ISO 8601 format in UTC; `step` is the number of updates made. */
export type MetricsLine = { time: string; step: number } & (
  | ({
      type: 'step';
      epoch: number;
      learningRate: number;
      imagesPerSecond: number;
      phases: StepPhases;
      clippedValues?: number | undefined;
    } & Metrics)
  | ({ type: 'validation' | 'test'; epoch: number } & Metrics)
  | { type: 'event'; event: string; detail: string }
);

/** Event names of operators' requests in metrics.jsonl. */
const operatorEvents: Record<OperatorAction, string> = {
  pause: 'paused',
  continue: 'continued',
  checkpoint: 'checkpoint-requested',
  stop: 'stop-requested',
  drop: 'worker-dropped',
  'create-link': 'join-link-created',
  'revoke-link': 'join-link-revoked',
};

/** Returns the line for an event, or undefined for events that are not logged. */
export function metricsLineOf(event: RunEvent): MetricsLine | undefined {
  const { time, step } = event;
  switch (event.type) {
    case 'step': {
      const { type, epoch, loss, accuracy, learningRate, imagesPerSecond, phases, clippedValues } = event;
      // JSON omits undefined values.
      return { type, time, step, epoch, loss, accuracy, learningRate, imagesPerSecond, phases, clippedValues };
    }
    case 'validation':
    case 'test': {
      const { type, epoch, loss, accuracy } = event;
      return { type, time, step, epoch, loss, accuracy };
    }
    case 'operated':
      return { type: 'event', step, time, event: operatorEvents[event.action], detail: event.detail };
    default: {
      const detail = detailOf(event);
      return detail === undefined ? undefined : { type: 'event', step, time, event: event.type, detail };
    }
  }
}

/** Returns a description of an event, or undefined for events that are not logged. */
function detailOf(event: RunEvent): string | undefined {
  switch (event.type) {
    case 'resumed':
    case 'checkpoint':
      return event.path;
    case 'partial-weights':
      return `${event.path}: missing ${event.missing.join(' ')}; unused ${event.unused.join(' ')}`;
    case 'checkpoint-failed':
      return `${event.reason}; ${event.lastCheckpoint}`;
    case 'metrics-failed':
    case 'tensorboard-failed':
      return event.reason;
    case 'worker-joined':
      return `${event.name} (${placeOf(event)}) on ${event.device}: ${event.fingerprint}`;
    case 'worker-lost':
      return `${event.name} (${placeOf(event)}): ${event.reason}`;
    case 'relay-joined':
      return `${event.name} (${event.address})`;
    case 'relay-lost':
      return `${event.name} (${event.address}): ${event.reason}`;
    case 'slices-reassigned':
      return `${event.slices} ${event.slices === 1 ? 'slice' : 'slices'} of step ${event.step}`;
    case 'straggler':
      return (
        `${event.name} was late in step ${event.step}: ${event.slices} of its slices were also assigned to ` +
        event.speculative.join(', ')
      );
    case 'waiting':
      return `${event.workers} of ${event.needed} workers`;
    case 'inexact':
      return `${event.name} uses ${event.fingerprint}, but the run uses ${event.expected}`;
    case 'engine-chosen':
      return event.fingerprint;
    case 'access':
      return event.message;
    default:
      return undefined;
  }
}

/** Returns where a worker is: its address, and the relay that it computes behind. */
function placeOf({ address, relay }: { address: string; relay?: string | undefined }): string {
  return relay === undefined ? address : `${address} behind ${relay}`;
}
