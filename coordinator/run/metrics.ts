// Loss and accuracy, and the sums from which they are computed.

export interface Metrics {
  /** Mean softmax cross-entropy over the images. */
  loss: number;
  /** Fraction of images whose largest logit belongs to their label, 0 to 1. */
  accuracy: number;
}

/** Sums from which metrics are computed. They are added up first, then divided once. */
export interface BatchSums {
  sampleCount: number;
  lossSum: number;
  correctCount: number;
}

/** The evaluation of one shard. */
export interface EvaluatedShard extends BatchSums {
  /** Number of images whose label is among the five classes with the largest logits. */
  topFiveCount: number;
  /** Predicted class of each image; `noClass` if the image's logits are not finite. */
  predicted: Uint16Array;
}

/** Computes metrics: adds up the sums in float64, in the given order, and divides by the number of samples. */
export function metricsOf(sums: readonly BatchSums[]): Metrics {
  const { sampleCount, lossSum, correctCount } = sums.reduce(addSums, noSums);
  return { loss: lossSum / sampleCount, accuracy: correctCount / sampleCount };
}

export const noSums: Readonly<BatchSums> = { sampleCount: 0, lossSum: 0, correctCount: 0 };

export function addSums(a: BatchSums, b: BatchSums): BatchSums {
  return {
    sampleCount: a.sampleCount + b.sampleCount,
    lossSum: a.lossSum + b.lossSum,
    correctCount: a.correctCount + b.correctCount,
  };
}
