// Preprocessing in its general form, for whoever writes it into a model: an affine function of each pixel, then an order
// of the channels.
import { imagenetMeans, type Preprocessing } from './image-batch.js';

export interface InputTransform {
  /** Subtracted from the pixel: one value a raw channel (red, green, blue), or one a pixel, [row, column, raw channel]. */
  subtract: Float32Array;
  /** What the difference is divided by, per raw channel. */
  divide: Float32Array;
  /** Which raw channel (0 red, 1 green, 2 blue) is the network's first, second and third. */
  channelOrder: readonly [number, number, number];
}

export function inputTransformOf(preprocessing: Preprocessing): InputTransform {
  const channelOrder = [2, 1, 0] as const;
  if (preprocessing !== 'imagenet') return { ...preprocessing, channelOrder };
  const { red, green, blue } = imagenetMeans;
  return { subtract: Float32Array.of(red, green, blue), divide: Float32Array.of(255, 255, 255), channelOrder };
}
