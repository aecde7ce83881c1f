import { describe, expect, it } from 'vitest';
import { formatOutcome, outcomeOf } from '../../../coordinator/run/evaluation-report.js';
import { noClass } from '../../../shared/protocol/predictions.js';

const namesOf = (count: number) => Array.from({ length: count }, (_, label) => `class ${label}`);

/** Returns the outcome of one shard with these labels and predictions, of which `topFiveCount` are among the top five. */
function outcome(classCount: number, labels: number[], predicted: number[], topFiveCount = 0) {
  const sampleCount = labels.length;
  const correctCount = labels.filter((label, image) => label === predicted[image]).length;
  return outcomeOf(
    [{ sampleCount, lossSum: 2 * sampleCount, correctCount, topFiveCount, predicted: Uint16Array.from(predicted) }],
    Uint16Array.from(labels),
    { classNames: namesOf(classCount) },
  );
}

describe('the outcome of an evaluation', () => {
  it('counts images by class, by pair of classes, and without a prediction', () => {
    const { classes, confusion, confusions, unclassified, loss, accuracy, topFiveAccuracy } = outcome(
      3,
      [0, 0, 0, 0, 1, 1],
      [0, 1, 1, noClass, 1, 0],
    );
    expect({ loss, accuracy, topFiveAccuracy, unclassified }).toEqual({
      loss: 2,
      accuracy: 2 / 6,
      topFiveAccuracy: null,
      unclassified: 1,
    });
    expect(classes).toEqual([
      { name: 'class 0', images: 4, correct: 1, accuracy: 0.25 },
      { name: 'class 1', images: 2, correct: 1, accuracy: 0.5 },
      { name: 'class 2', images: 0, correct: 0, accuracy: null },
    ]);
    expect(confusion).toEqual([
      [1, 2, 0],
      [1, 1, 0],
      [0, 0, 0],
    ]);
    expect(confusions).toEqual([
      { label: 0, predicted: 1, images: 2 },
      { label: 1, predicted: 0, images: 1 },
    ]);
  });

  it('has a top-5 accuracy for more than ten classes', () => {
    expect(outcome(10, [0, 1], [0, 0], 2).topFiveAccuracy).toBeNull();
    expect(outcome(11, [0, 1, 2, 3], [0, 0, 0, 0], 3).topFiveAccuracy).toBe(0.75);
  });

  it('has the confusions, but no matrix, for more than 1000 classes', () => {
    const { confusion, confusions } = outcome(65_535, [65_534, 7], [3, 7]);
    expect(confusion).toBeNull();
    expect(confusions).toEqual([{ label: 65_534, predicted: 3, images: 1 }]);
  });

  it('is formatted with a line per row of the matrix', () => {
    const result = outcome(2, [0, 1, 1], [0, 0, 1]);
    const text = formatOutcome(result);
    expect(JSON.parse(text)).toEqual(result);
    expect(text).toContain('"confusion": [\n    [1, 0],\n    [1, 1]\n  ]');
  });
});
