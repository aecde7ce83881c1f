// Preprocessing in the general form that engines and exports apply: an affine function of each pixel, and a channel
// order.
import { imagenetMeans, type Preprocessing } from './image-batch.js';

export interface InputTransform {
  /**
   * Values to subtract: one per raw channel (red, green, blue), or one per pixel and channel, shape [row, column, raw
   * channel].
   */
  subtract: Float32Array;
  /** Divisors for the differences, one per raw channel. */
  divide: Float32Array;
  /** Raw channel that each channel of the network's input is computed from: 0 is red, 1 green, 2 blue. */
  channelOrder: readonly [number, number, number];
}

export function inputTransformOf(preprocessing: Preprocessing): InputTransform {
  const channelOrder = [2, 1, 0] as const;
  if (preprocessing !== 'imagenet') return { ...preprocessing, channelOrder };
  const { red, green, blue } = imagenetMeans;
  return { subtract: Float32Array.of(red, green, blue), divide: Float32Array.of(255, 255, 255), channelOrder };
}
