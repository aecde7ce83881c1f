// Preprocessing in general form, as engines and exports apply it: an affine function of each pixel and a channel order.
import { imagenetMeans, type Preprocessing } from './image-batch.js';

export interface InputTransform {
  /**
   * Subtracted from the pixel: a value per raw channel (red, green, blue), or per pixel, [row, column, raw channel].
   */
  subtract: Float32Array;
  /** Divides the difference, per raw channel. */
  divide: Float32Array;
  /** Raw channel (0 red, 1 green, 2 blue) of each channel of the network's input. */
  channelOrder: readonly [number, number, number];
}

export function inputTransformOf(preprocessing: Preprocessing): InputTransform {
  const channelOrder = [2, 1, 0] as const;
  if (preprocessing !== 'imagenet') return { ...preprocessing, channelOrder };
  const { red, green, blue } = imagenetMeans;
  return { subtract: Float32Array.of(red, green, blue), divide: Float32Array.of(255, 255, 255), channelOrder };
}
