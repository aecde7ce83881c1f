// Curves in bounded memory.
import { describe, expect, it } from 'vitest';
import { StepHistory, type StepPoint } from '../../../shared/monitoring/step-history.js';

const point = (step: number): StepPoint => ({
  step,
  loss: step,
  accuracy: step / 100,
  learningRate: 1 / step,
  imagesPerSecond: 10 * step,
});

function historyOf(steps: number, capacity: number): StepHistory {
  const history = new StepHistory(capacity);
  for (let step = 1; step <= steps; step++) history.add(point(step));
  return history;
}

describe('a history of steps', () => {
  it('has a point for each while they are few', () => {
    const history = historyOf(4, 4);
    expect(history.points).toMatchObject([1, 2, 3, 4].map(point));
    expect(history.stepsPerPoint).toBe(1);
  });

  it('halves when it is full: means of two, and the last one’s step and rate', () => {
    const history = historyOf(5, 4);
    // (1 + 2) / 2, (3 + 4) / 2, and 5 alone
    expect(history.points).toMatchObject([
      { step: 2, loss: 1.5, accuracy: 0.015, learningRate: 1 / 2, imagesPerSecond: 15 },
      { step: 4, loss: 3.5, learningRate: 1 / 4 },
      { step: 5, loss: 5 },
    ]);
    expect(history.stepsPerPoint).toBe(2);
  });

  it('stays small over 64,000 steps, and as JSON below 64 KiB', () => {
    const history = historyOf(64_000, 1_000);
    expect(history.points.length).toBe(1_000);
    expect(history.stepsPerPoint).toBe(64);
    // The mean of 1 … 64 is 32.5.
    expect(history.points[0]).toMatchObject({ step: 64, loss: 32.5 });
    expect(JSON.stringify(history.columns()).length).toBeLessThan(1 << 16);
  });

  it.each([3, 9, 12, 17])('that traveled after %i steps goes on as the one that stayed', (steps) => {
    const stayed = historyOf(steps, 8);
    const columns = JSON.parse(JSON.stringify(stayed.columns(17))) as ReturnType<StepHistory['columns']>;
    const traveled = StepHistory.from(columns, 8);
    for (let step = steps + 1; step <= 40; step++) {
      stayed.add(point(step));
      traveled.add(point(step));
    }
    expect(traveled.columns()).toEqual(stayed.columns());
  });
});
