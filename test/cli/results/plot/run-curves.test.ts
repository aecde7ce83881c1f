import { describe, expect, it } from 'vitest';
import { curvesFrom } from '../../../../cli/results/plot/run-curves.js';
import { evaluationLine, eventLine, stepLine } from './metrics-lines.js';

const text = (...lines: readonly object[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join('');

describe('the curves of a run', () => {
  it('contain the values of each step, the evaluations, and where it was resumed', () => {
    const curves = curvesFrom(
      text(
        eventLine(0, 'worker-joined'),
        stepLine(1, { epoch: 1, loss: 2.5, accuracy: 0.125, learningRate: 0.1, imagesPerSecond: 100 }),
        stepLine(2, { epoch: 1, loss: 2.25 }),
        evaluationLine('validation', 2, { epoch: 1, loss: 2, accuracy: 0.25 }),
        eventLine(2, 'resumed'),
        stepLine(3, { epoch: 2, loss: 2 }),
        stepLine(4, { epoch: 2, loss: 1.5 }),
        evaluationLine('validation', 4, { epoch: 2, loss: 1.75, accuracy: 0.5 }),
        evaluationLine('test', 4, { epoch: 2, loss: 1.8, accuracy: 0.45 }),
      ),
      'metrics.jsonl',
    );
    expect(curves.perStep.loss).toEqual({
      x: [1, 2, 3, 4],
      mean: [2.5, 2.25, 2, 1.5],
      low: [2.5, 2.25, 2, 1.5],
      high: [2.5, 2.25, 2, 1.5],
    });
    expect(curves.perStep.learningRate.mean[0]).toBe(0.1);
    expect(curves).toMatchObject({
      steps: 4,
      stepsPerEpoch: 2,
      stepsPerPoint: 1,
      isFinished: true,
      resumedAtSteps: [2],
    });
    expect(curves.validations).toEqual([
      { step: 2, epoch: 1, loss: 2, accuracy: 0.25 },
      { step: 4, epoch: 2, loss: 1.75, accuracy: 0.5 },
    ]);
    expect(curves.test).toEqual({ step: 4, epoch: 2, loss: 1.8, accuracy: 0.45 });
  });

  it('have 2,000 points for 64,000 steps, each the mean of 32 steps', () => {
    const steps = Array.from({ length: 64_000 }, (_, i) => stepLine(i + 1, { loss: i % 2 }));
    const { stepsPerPoint, perStep } = curvesFrom(text(...steps), 'metrics.jsonl');
    expect(stepsPerPoint).toBe(32);
    expect(perStep.loss.x.length).toBe(2000);
    expect(perStep.loss.x.at(-1)).toBe(64_000);
    expect([perStep.loss.mean[0], perStep.loss.low[0], perStep.loss.high[0]]).toEqual([0.5, 0, 1]);
  });

  it('ignore an incomplete last line', () => {
    const { steps, isFinished, stepsPerEpoch } = curvesFrom(`${text(stepLine(1))}{"type":"step","st`, 'metrics.jsonl');
    expect({ steps, isFinished, stepsPerEpoch }).toEqual({ steps: 1, isFinished: false, stepsPerEpoch: null });
  });

  it('belong to an unfinished run if steps follow its test', () => {
    const continued = text(stepLine(1), evaluationLine('test', 1), stepLine(2));
    expect(curvesFrom(continued, 'metrics.jsonl').isFinished).toBe(false);
  });

  it('omit a loss of NaN', () => {
    const { perStep } = curvesFrom(text(stepLine(1), stepLine(2, { loss: null })), 'metrics.jsonl');
    expect(perStep.loss.x).toEqual([1]);
    expect(perStep.accuracy.x).toEqual([1, 2]);
  });

  it('are rejected with the line number if a line is damaged', () => {
    expect(() => curvesFrom(`${text(stepLine(1))}garbage\n`, 'runs/a/metrics.jsonl')).toThrow(
      'line 2 of runs/a/metrics.jsonl is not a valid line of metrics: garbage',
    );
    expect(() => curvesFrom(text(eventLine(0, 'waiting')), 'metrics.jsonl')).toThrow('metrics.jsonl has no steps yet');
  });
});
