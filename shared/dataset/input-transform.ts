// Preprocessing in the general form that engines and exports apply: an affine function of each pixel, and a channel
// order.
import type { ChannelOrder } from '../network/graph.js';
import { imagenetMeans, type Preprocessing } from './image-batch.js';

export interface InputTransform {
  /**
   * Values to subtract: one per raw channel (red, green, blue; or gray), or one per pixel and channel, shape [row, column, raw
   * channel].
   */
  subtract: Float32Array;
  /** Divisors for the differences, one per raw channel. */
  divide: Float32Array;
  /** Raw channel that each channel of the network's input is computed from: 0 is red (or gray), 1 green, 2 blue. */
  channelOrder: readonly number[];
}

/**
 * @param channels number of raw channels
 * @param order order of the colors in the network's input
 */
export function inputTransformOf(
  preprocessing: Preprocessing,
  channels: 1 | 3,
  order: ChannelOrder = 'bgr',
): InputTransform {
  const color = order === 'bgr' ? [2, 1, 0] : [0, 1, 2];
  const channelOrder = channels === 1 ? [0] : color;
  if (preprocessing !== 'imagenet') return { ...preprocessing, channelOrder };
  const { red, green, blue, gray } = imagenetMeans;
  const means = channels === 1 ? [gray] : [red, green, blue];
  return { subtract: Float32Array.from(means), divide: new Float32Array(channels).fill(255), channelOrder };
}

/** Returns whether a mean is subtracted for each pixel instead of for each channel. */
export function hasPixelMeans({ subtract, divide }: Pick<InputTransform, 'subtract' | 'divide'>): boolean {
  return subtract.length > divide.length;
}
