// The result of an evaluation: loss and accuracy, accuracy by class, and the confusion matrix. Pure.
import type { DatasetDescription } from '../../shared/dataset/description.js';
import { noClass } from '../../shared/protocol/predictions.js';
import { metricsOf, type EvaluatedShard, type Metrics } from './metrics.js';

export interface ClassResult {
  name: string;
  images: number;
  /** Number of images classified correctly. */
  correct: number;
  /**
   * Fraction of this class's images that were classified correctly, 0 to 1; null if the split has no image of this
   * class.
   */
  accuracy: number | null;
}

/** Maximum number of classes for a confusion matrix, whose size is the square of this number. */
const maxConfusionClasses = 1000;
/** With this many classes or fewer, the five most probable ones say little. */
const maxClassesWithoutTopFive = 10;

/** Number of pairs of classes in `confusions`. */
const maxConfusions = 100;

export interface Confusion {
  /** The true class. */
  label: number;
  predicted: number;
  images: number;
}

export interface Outcome extends Metrics {
  images: number;
  /** Fraction of images whose label is among the five classes with the largest logits; null for ten or fewer classes. */
  topFiveAccuracy: number | null;
  /** Results by class, in label order. */
  classes: ClassResult[];
  /** The 100 most frequent confusions of one class with another, most frequent first. */
  confusions: Confusion[];
  /**
   * `confusion[label][class]` is the number of images of this label that were classified as that class; null for more
   * than 1000 classes.
   */
  confusion: number[][] | null;
  /** Number of images with non-finite logits. They have no predicted class and are not part of the confusion matrix. */
  unclassified: number;
}

/**
 * @param shards the results of all shards of the split, in order
 * @param labels the labels of the split's images, in the same order
 */
export function outcomeOf(
  shards: readonly EvaluatedShard[],
  labels: Uint16Array,
  { classNames }: Pick<DatasetDescription, 'classNames'>,
): Outcome {
  const classCount = classNames.length;
  const imagesOf = classNames.map(() => 0);
  /** Number of images by label and predicted class: label × classCount + predicted class. */
  const counts = new Map<number, number>();
  let unclassified = 0;
  let images = 0;
  for (const { predicted } of shards) {
    for (const predictedClass of predicted) {
      const label = labels[images++];
      imagesOf[label]++;
      const pair = label * classCount + predictedClass;
      if (predictedClass === noClass) unclassified++;
      else counts.set(pair, (counts.get(pair) ?? 0) + 1);
    }
  }
  const topFiveCount = shards.reduce((sum, shard) => sum + shard.topFiveCount, 0);
  const classes = classNames.map((name, label): ClassResult => {
    const correct = counts.get(label * classCount + label) ?? 0;
    return { name, images: imagesOf[label], correct, accuracy: imagesOf[label] > 0 ? correct / imagesOf[label] : null };
  });
  return {
    ...metricsOf(shards),
    topFiveAccuracy: classCount > maxClassesWithoutTopFive ? topFiveCount / images : null,
    images,
    classes,
    confusions: confusionsOf(counts, classCount),
    confusion: classCount > maxConfusionClasses ? null : matrixOf(counts, classCount),
    unclassified,
  };
}

function confusionsOf(counts: ReadonlyMap<number, number>, classCount: number): Confusion[] {
  return Array.from(counts, ([pair, images]) => ({
    label: Math.floor(pair / classCount),
    predicted: pair % classCount,
    images,
  }))
    .filter(({ label, predicted }) => label !== predicted)
    .toSorted((a, b) => b.images - a.images || a.label - b.label || a.predicted - b.predicted)
    .slice(0, maxConfusions);
}

function matrixOf(counts: ReadonlyMap<number, number>, classCount: number): number[][] {
  return Array.from({ length: classCount }, (_, label) =>
    Array.from({ length: classCount }, (_unused, predicted) => counts.get(label * classCount + predicted) ?? 0),
  );
}

/** Formats an outcome as JSON, with each row of the confusion matrix on a line of its own. */
export function formatOutcome(outcome: Outcome): string {
  const { confusion } = outcome;
  const text = JSON.stringify({ ...outcome, confusion: null }, null, 2);
  if (confusion === null) return text;
  const rows = confusion.map((row) => `    [${row.join(', ')}]`).join(',\n');
  // A class name cannot contain this text, because its quotes are escaped.
  return text.replace('"confusion": null', `"confusion": [\n${rows}\n  ]`);
}
