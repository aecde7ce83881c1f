// The result of an evaluation: loss and accuracy, accuracy by class, and the confusion matrix. Pure.
import type { DatasetDescription } from '../../shared/dataset/description.js';
import { labelAt, recordFormatOf } from '../../shared/dataset/record-format.js';
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

export interface Outcome extends Metrics {
  images: number;
  /** Fraction of images whose label is among the five classes with the largest logits; null for ten or fewer classes. */
  topFiveAccuracy: number | null;
  /** Results by class, in label order. */
  classes: ClassResult[];
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
 * @param records the split's records, in the same order
 */
export function outcomeOf(
  shards: readonly EvaluatedShard[],
  records: Uint8Array,
  dataset: DatasetDescription,
): Outcome {
  const { classNames } = dataset;
  const format = recordFormatOf(dataset);
  const confusion = classNames.length > maxConfusionClasses ? null : classNames.map(() => classNames.map(() => 0));
  const imagesOf = classNames.map(() => 0);
  const correctOf = classNames.map(() => 0);
  let unclassified = 0;
  let images = 0;
  for (const predicted of shards.flatMap((shard) => [...shard.predicted])) {
    const label = labelAt(records, images++, format);
    imagesOf[label]++;
    if (predicted === label) correctOf[label]++;
    if (predicted === noClass) unclassified++;
    else if (confusion !== null) confusion[label][predicted]++;
  }
  const topFiveCount = shards.reduce((sum, shard) => sum + shard.topFiveCount, 0);
  const topFiveAccuracy = classNames.length > maxClassesWithoutTopFive ? topFiveCount / images : null;
  const classes = classNames.map((name, label): ClassResult => {
    const correct = correctOf[label];
    return { name, images: imagesOf[label], correct, accuracy: imagesOf[label] > 0 ? correct / imagesOf[label] : null };
  });
  return { ...metricsOf(shards), topFiveAccuracy, images, classes, confusion, unclassified };
}
