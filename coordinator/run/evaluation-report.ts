// What an evaluation came to: loss and accuracy, class by class, and what was taken for what. Pure.
import { recordBytes } from '../../shared/dataset/image-batch.js';
import { noClass } from '../../shared/protocol/messages.js';
import { metricsOf, type EvaluatedShard, type Metrics } from './metrics.js';

export interface ClassResult {
  name: string;
  images: number;
  /** Those that were taken for this class. */
  correct: number;
  /** 0 to 1; null where there is no image of this class. */
  accuracy: number | null;
}

export interface Outcome extends Metrics {
  images: number;
  /** In the order of the labels. */
  classes: ClassResult[];
  /** confusion[label][class] images of this label were taken for that class. */
  confusion: number[][];
  /** Images whose logits are no numbers: of no class, and in no column of the confusion matrix. */
  unclassified: number;
}

/**
 * @param parts of the whole split, in order
 * @param records the split's CIFAR-10 records, in the same order
 * @param classNames in the order of the labels
 */
export function outcomeOf(
  parts: readonly EvaluatedShard[],
  records: Uint8Array,
  classNames: readonly string[],
): Outcome {
  const confusion = classNames.map(() => classNames.map(() => 0));
  const imagesOf = classNames.map(() => 0);
  let unclassified = 0;
  let images = 0;
  for (const predicted of parts.flatMap((part) => [...part.predicted])) {
    const label = records[images++ * recordBytes];
    imagesOf[label]++;
    if (predicted === noClass) unclassified++;
    else confusion[label][predicted]++;
  }
  const classes = classNames.map((name, label): ClassResult => {
    const correct = confusion[label][label];
    return { name, images: imagesOf[label], correct, accuracy: imagesOf[label] > 0 ? correct / imagesOf[label] : null };
  });
  return { ...metricsOf(parts), images, classes, confusion, unclassified };
}
