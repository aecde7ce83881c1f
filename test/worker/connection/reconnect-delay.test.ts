import { expect, it } from 'vitest';
import { reconnectDelayMs } from '../../../worker/connection/reconnect-delay.js';

it('the reconnect delay doubles with each failed attempt, up to 15 s', () => {
  // Without jitter, the delays are half of 250, 500, 1,000, … ms, where 16,000 ms is limited to 15,000 ms.
  const delays = [1, 2, 3, 4, 5, 6, 7, 8, 100].map((attempt) => reconnectDelayMs(attempt, 0));
  expect(delays).toEqual([125, 250, 500, 1000, 2000, 4000, 7500, 7500, 7500]);
});

it('jitter spreads the reconnect delay over its upper half', () => {
  expect(reconnectDelayMs(3, 0.5)).toBe(750);
  expect(reconnectDelayMs(3, 1 - 2 ** -53)).toBeLessThanOrEqual(1000);
  expect(reconnectDelayMs(1_000_000, 1 - 2 ** -53)).toBeLessThanOrEqual(15_000);
});
