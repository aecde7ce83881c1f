import { expect, it } from 'vitest';
import { outcomeOf } from '../../../coordinator/run/evaluation-report.js';
import { metricsLineOf } from '../../../coordinator/run/metrics-lines.js';
import { RunEventBus } from '../../../coordinator/run/run-event-bus.js';
import type { NewRunEvent } from '../../../coordinator/run/run-events.js';
import { zeroPhases } from '../../../coordinator/run/step-phases.js';

/** Returns the lines that these events produce, without their times. */
function linesOf(...events: readonly NewRunEvent[]): object[] {
  const lines: object[] = [];
  const bus = new RunEventBus();
  bus.on('event', (event) => {
    const line = metricsLineOf(event);
    if (line === undefined) return;
    const { time, ...rest } = line;
    expect(time).toBe(event.time);
    lines.push(rest);
  });
  for (const event of events) bus.publish(event);
  return lines;
}

it('steps and evaluations are logged with their metrics, and steps without the contributions of workers', () => {
  const metrics = { epoch: 1, loss: 2.5, accuracy: 0.25 };
  const rest = { learningRate: 0.1, imagesPerSecond: 100, phases: zeroPhases() };
  expect(
    linesOf(
      { type: 'step', step: 3, ...metrics, ...rest, contributions: [] },
      { type: 'validation', ...metrics, outcome: outcomeOf([], new Uint16Array(), { classNames: ['cat', 'dog'] }) },
    ),
  ).toEqual([
    { type: 'step', step: 3, ...metrics, ...rest },
    { type: 'validation', step: 3, ...metrics },
  ]);
});

it.each<[NewRunEvent, string, string]>([
  [{ type: 'resumed', step: 8, path: 'runs/a' }, 'resumed', 'runs/a'],
  [{ type: 'checkpoint', path: 'runs/a', seconds: 1 }, 'checkpoint', 'runs/a'],
  [{ type: 'checkpoint-failed', reason: 'full', lastCheckpoint: 'none' }, 'checkpoint-failed', 'full; none'],
  [{ type: 'slices-reassigned', step: 8, slices: 1 }, 'slices-reassigned', '1 slice of step 8'],
  [
    { type: 'straggler', step: 8, name: 'attic', slices: 2, speculative: ['a', 'b'] },
    'straggler',
    'attic was late in step 8: 2 of its slices were also assigned to a, b',
  ],
  [{ type: 'waiting', workers: 1, needed: 2 }, 'waiting', '1 of 2 workers'],
  [{ type: 'operated', action: 'pause', detail: 'by ops' }, 'paused', 'by ops'],
  [{ type: 'operated', action: 'checkpoint', detail: 'by ops' }, 'checkpoint-requested', 'by ops'],
  [{ type: 'operated', action: 'stop', detail: 'by ops' }, 'stop-requested', 'by ops'],
  [{ type: 'operated', action: 'drop', detail: 'attic by ops' }, 'worker-dropped', 'attic by ops'],
])('%o is logged as an event', (event, name, detail) => {
  expect(linesOf(event)).toEqual([{ type: 'event', step: event.step ?? 0, event: name, detail }]);
});

it('events within a step and the end of a run are not logged', () => {
  expect(
    linesOf(
      { type: 'step-started' },
      { type: 'gradient-collected' },
      { type: 'phase', phase: 'training' },
      { type: 'ended', end: { how: 'failed', message: 'x' } },
    ),
  ).toEqual([]);
});
