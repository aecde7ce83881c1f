// The training step and the evaluation of any network in float64, for comparison with engines. Slow.
import type { DropoutKey } from '../../shared/network/dropout.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { compute, type Computed, type Context } from './reference-operations.js';

export interface ReferenceResult {
  lossSum: number;
  correctCount: number;
  /** [images, classes] */
  logits: Float64Array;
  /**
   * Gradient of the loss summed over the images, in layout order; zero for frozen arrays. Meaningless with moving
   * statistics.
   */
  gradientSum: Float64Array;
  /** Means and biased variances of each batch norm's input, in layout order. */
  batchStatistics: Float64Array;
}

export interface ReferenceOptions {
  /** Moving statistics to normalize with; by default, those of the batch. */
  movingStatistics?: ArrayLike<number>;
  labelSmoothing?: number;
  dropoutKey?: DropoutKey;
}

/**
 * Runs a network forward and backward.
 * @param input preprocessed images, [images, row, column, channel], in the order of the network's channels
 */
export function referenceStep(
  layout: ModelLayout,
  weights: ArrayLike<number>,
  input: ArrayLike<number>,
  labels: ArrayLike<number>,
  { movingStatistics, labelSmoothing = 0, dropoutKey }: ReferenceOptions = {},
): ReferenceResult {
  const context: Context = {
    imageCount: labels.length,
    weights,
    movingStatistics: movingStatistics ?? null,
    gradient: new Float64Array(layout.weightsSize),
    batchStatistics: new Float64Array(layout.statisticsSize),
    dropoutKey,
  };
  const computed: Computed[] = [];
  for (const layer of layout.layers) {
    const inputs =
      layer.op === 'input' ? [Float64Array.from(input)] : layer.inputs.map((index) => computed[index].values);
    computed.push(compute(layer, inputs, context));
  }
  const logits = computed.at(-1)!.values;
  const { lossSum, correctCount, gradient } = crossEntropy(logits, labels, layout.data.classCount, labelSmoothing);

  const upstreams = new Map<number, Float64Array>([[layout.layers.length - 1, gradient]]);
  for (const layer of layout.layers.toReversed()) {
    const upstream = upstreams.get(layer.index)!;
    for (const [position, toInput] of computed[layer.index].backward(upstream).entries()) {
      const index = layer.inputs[position];
      const sum = upstreams.get(index);
      upstreams.set(index, sum === undefined ? toInput : sum.map((value, i) => value + toInput[i]));
    }
  }
  for (const { trainable, offset, size } of layout.weights) {
    if (!trainable) context.gradient.fill(0, offset, offset + size);
  }
  return { lossSum, correctCount, logits, gradientSum: context.gradient, batchStatistics: context.batchStatistics };
}

/** Softmax cross-entropy summed over the images, and its gradient with respect to the logits. */
function crossEntropy(logits: Float64Array, labels: ArrayLike<number>, classCount: number, labelSmoothing: number) {
  const gradient = new Float64Array(logits.length);
  let lossSum = 0;
  let correctCount = 0;
  for (let image = 0; image < labels.length; image++) {
    const own = logits.subarray(image * classCount, (image + 1) * classCount);
    const largest = Math.max(...own);
    const logSum = largest + Math.log(own.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
    for (const [label, logit] of own.entries()) {
      const target = labelSmoothing / classCount + (label === labels[image] ? 1 - labelSmoothing : 0);
      lossSum -= target * (logit - logSum);
      gradient[image * classCount + label] = Math.exp(logit - logSum) - target;
    }
    if (own.indexOf(largest) === labels[image]) correctCount++;
  }
  return { lossSum, correctCount, gradient };
}
