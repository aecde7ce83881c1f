// The history of steps, which stores a run's curves in bounded memory.
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
  it('has a point per step while there are few steps', () => {
    const history = historyOf(4, 4);
    expect(history.points).toMatchObject([1, 2, 3, 4].map(point));
    expect(history.stepsPerPoint).toBe(1);
  });

  it('averages pairs of points when it is full, with the step and rate of the later one', () => {
    const history = historyOf(5, 4);
    // The losses are (1 + 2) / 2, (3 + 4) / 2 and 5.
    expect(history.points).toMatchObject([
      { step: 2, loss: 1.5, accuracy: 0.015, learningRate: 1 / 2, imagesPerSecond: 15 },
      { step: 4, loss: 3.5, learningRate: 1 / 4 },
      { step: 5, loss: 5 },
    ]);
    expect(history.stepsPerPoint).toBe(2);
  });

  it('stays small over 64,000 steps, below 64 KiB as JSON', () => {
    const history = historyOf(64_000, 1_000);
    expect(history.points.length).toBe(1_000);
    expect(history.stepsPerPoint).toBe(64);
    // The first point is the mean of steps 1 to 64: (1 + 64) / 2 = 32.5.
    expect(history.points[0]).toMatchObject({ step: 64, loss: 32.5 });
    expect(JSON.stringify(history.columns()).length).toBeLessThan(1 << 16);
  });

  it.each([3, 9, 12, 17])('that was sent after %i steps continues like the original', (steps) => {
    const original = historyOf(steps, 8);
    const columns = JSON.parse(JSON.stringify(original.columns(17))) as ReturnType<StepHistory['columns']>;
    const received = StepHistory.from(columns, 8);
    for (let step = steps + 1; step <= 40; step++) {
      original.add(point(step));
      received.add(point(step));
    }
    expect(received.columns()).toEqual(original.columns());
  });
});
