// Loss and accuracy, and the sums that they are made of.

export interface Metrics {
  /** The mean softmax cross-entropy of an image. */
  loss: number;
  /** The part of the images whose largest logit is their label's, 0 to 1. */
  accuracy: number;
}

/** What metrics are made of: sums travel, the division happens once. */
export interface BatchSums {
  sampleCount: number;
  lossSum: number;
  correctCount: number;
}

/** What a part of a split gave. */
export interface EvaluatedShard extends BatchSums {
  /** The class that each image was taken for, or noClass. */
  predicted: Uint8Array;
}

/** In float64, in the order given. */
export function metricsOf(parts: readonly BatchSums[]): Metrics {
  const { sampleCount, lossSum, correctCount } = parts.reduce(addSums, noSums);
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
