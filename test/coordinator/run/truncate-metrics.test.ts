import { expect, it } from 'vitest';
import { truncateMetricsAt } from '../../../coordinator/run/truncate-metrics.js';

const json = (type: string, step: number) => `${JSON.stringify({ type, step, loss: 1 })}\n`;
const whole = [
  json('event', 0),
  json('step', 1),
  json('step', 2),
  json('validation', 2),
  json('event', 2),
  json('step', 3),
  json('test', 3),
  json('event', 3),
];

it('lines up to the checkpoint are kept, later steps and evaluations are dropped, and all events are kept', () => {
  const kept = truncateMetricsAt(whole.join(''), { step: 2, isValidated: true });
  expect(kept).toBe([...whole.slice(0, 5), whole[7]].join(''));
});

it('a validation of the same step is dropped if the checkpoint was saved before it', () => {
  const kept = truncateMetricsAt(whole.join(''), { step: 2, isValidated: false });
  expect(kept).toBe([...whole.slice(0, 3), whole[4], whole[7]].join(''));
});

it('an incomplete last line is dropped, and so are lines that are not metrics', () => {
  const text = `${json('step', 1)}null\n[]\n{"type":"step"}\n${json('step', 2)}{"type":"step","st`;
  expect(truncateMetricsAt(text, { step: 9, isValidated: true })).toBe(json('step', 1) + json('step', 2));
  expect(truncateMetricsAt('', { step: 9, isValidated: true })).toBe('');
});
