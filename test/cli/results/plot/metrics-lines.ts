// Builds lines of metrics.jsonl for tests.
import type { MetricsLine } from '../../../../coordinator/run/metrics-lines.js';
import type { RunEvent } from '../../../../coordinator/run/run-events.js';

const time = '2026-11-24T10:00:00.000Z';
const phases = { waitForWeights: 1, augment: 1, compute: 1, add: 1, send: 1, reduce: 1, update: 1, step: 7 };

type Step = Extract<MetricsLine, { type: 'step' }>;
/** Values to change in a line. null stands for a loss that is not finite, as in JSON. */
type Changed<Line> = { [Key in keyof Line]?: Line[Key] | null };

export function stepLine(step: number, values: Changed<Step> = {}): object {
  const usual: Step = {
    type: 'step',
    time,
    step,
    epoch: 1,
    loss: 1,
    accuracy: 0.5,
    learningRate: 0.1,
    imagesPerSecond: 100,
    phases,
  };
  return { ...usual, ...values };
}

export function evaluationLine(
  type: 'validation' | 'test',
  step: number,
  values: { epoch?: number; loss?: number; accuracy?: number } = {},
): object {
  const usual: MetricsLine = { type, time, step, epoch: 1, loss: 1, accuracy: 0.5 };
  return { ...usual, ...values };
}

export function eventLine(step: number, event: RunEvent['type']): object {
  const line: MetricsLine = { type: 'event', step, time, event, detail: '' };
  return line;
}
