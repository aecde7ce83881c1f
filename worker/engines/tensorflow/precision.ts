// In which type the costly operations compute. Weights, gradients, statistics and the loss are float32 in all of them.
import type { Precision } from '../../engine.js';
import type { GraphPass } from './tracing/graph.js';
import { lowerPrecision } from './tracing/lower-precision.js';

export function lowerTo(precision: Precision): GraphPass[] {
  return precision === 'float32' ? [] : [lowerPrecision(precision)];
}

/**
 * What the loss is multiplied with for the backward pass. bfloat16 reaches as far down as float32 does. float16 ends at
 * 6e-8, and at 65504: the gradients of an image's loss are at most 1 at the logits, and fall by the size of the picture.
 */
export function lossScaleOf(precision: Precision): number {
  return precision === 'float16' ? 1024 : 1;
}
