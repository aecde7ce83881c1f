// The result of an evaluation: loss and accuracy, accuracy by class, and the confusion matrix. Pure.
import { recordBytes } from '../../shared/dataset/image-batch.js';
import { noClass } from '../../shared/protocol/messages.js';
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

export interface Outcome extends Metrics {
  images: number;
  /** Results by class, in label order. */
  classes: ClassResult[];
  /** `confusion[label][class]` is the number of images of this label that were classified as that class. */
  confusion: number[][];
  /** Number of images with non-finite logits. They have no predicted class and are not part of the confusion matrix. */
  unclassified: number;
}

/**
 * @param shards the results of all shards of the split, in order
 * @param records the split's CIFAR-10 records, in the same order
 * @param classNames names of the classes, in label order
 */
export function outcomeOf(
  shards: readonly EvaluatedShard[],
  records: Uint8Array,
  classNames: readonly string[],
): Outcome {
  const confusion = classNames.map(() => classNames.map(() => 0));
  const imagesOf = classNames.map(() => 0);
  let unclassified = 0;
  let images = 0;
  for (const predicted of shards.flatMap((shard) => [...shard.predicted])) {
    const label = records[images++ * recordBytes];
    imagesOf[label]++;
    if (predicted === noClass) unclassified++;
    else confusion[label][predicted]++;
  }
  const classes = classNames.map((name, label): ClassResult => {
    const correct = confusion[label][label];
    return { name, images: imagesOf[label], correct, accuracy: imagesOf[label] > 0 ? correct / imagesOf[label] : null };
  });
  return { ...metricsOf(shards), images, classes, confusion, unclassified };
}
