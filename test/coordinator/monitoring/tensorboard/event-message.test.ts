// The expected bytes are those that TensorBoard 2.21's protobuf classes produce for the same fields.
import { expect, it } from 'vitest';
import {
  sessionStartEvent,
  summaryEvent,
  versionEvent,
} from '../../../../coordinator/monitoring/tensorboard/event-message.js';

it('the version event names the file version', () => {
  expect(versionEvent(1.5).toString('hex')).toBe('09000000000000f83f1a0d627261696e2e4576656e743a32');
});

it('the session start event has the first step', () => {
  expect(sessionStartEvent(1.5, 352).toString('hex')).toBe('09000000000000f83f10e0023a020801');
});

it('scalars of a step share one event; steps may have more than 32 bits', () => {
  const event = summaryEvent(1.5, 2 ** 33 + 5, [
    { tag: 'loss', scalar: 0.5 },
    { tag: 'rate', scalar: -2.25 },
  ]);
  expect(event.toString('hex')).toBe(
    '09000000000000f83f1085808080202a1a0a0b0a046c6f7373150000003f0a0b0a047261746515000010c0',
  );
});

it('a histogram has its moments, limits and counts', () => {
  const histogram = {
    min: -1,
    max: 3,
    count: 4,
    sum: 4,
    sumOfSquares: 12,
    limits: Float64Array.of(1, 3),
    counts: Float64Array.of(1, 3),
  };
  expect(summaryEvent(1.5, 7, [{ tag: 'w', histogram }]).toString('hex')).toBe(
    '09000000000000f83f10072a580a560a01772a5109000000000000f0bf110000000000000840190000000000001040210000000000001040' +
      '2900000000000028403210000000000000f03f00000000000008403a10000000000000f03f0000000000000840',
  );
});

it('an image has its size and its PNG', () => {
  const image = { width: 3, height: 2, png: Buffer.from('png') };
  expect(summaryEvent(1.5, 7, [{ tag: 'k', image }]).toString('hex')).toBe(
    '09000000000000f83f10072a120a100a016b220b0802100318032203706e67',
  );
});
