// Augmented and preprocessed images, and what a network computes from them, in float64, for comparison with engines.
import {
  cropLeft,
  cropTop,
  imagenetMeans,
  isFlipped,
  isReflected,
  type ImageBatch,
  type Preprocessing,
} from '../../shared/dataset/image-batch.js';
import type { ChannelOrder } from '../../shared/network/graph.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { labelsOf } from '../../worker/augmentation.js';
import { referenceStep, type ReferenceOptions, type ReferenceResult } from './reference-network.js';

/** Runs a network on a batch, forward and backward. */
export function referenceOfBatch(
  layout: ModelLayout,
  weights: ArrayLike<number>,
  batch: ImageBatch,
  { preprocessing = 'imagenet', ...options }: ReferenceOptions & { preprocessing?: Preprocessing } = {},
): ReferenceResult {
  const input = referenceInput(batch, preprocessing, layout.graph.channelOrder);
  return referenceStep(layout, weights, input, labelsOf(batch), options);
}

/** Maps a row or column of the padded image to the image. With zero padding, the result may be outside the image. */
function sourceIndex(augmentation: number, index: number, size: number): number {
  if (!isReflected(augmentation)) return index;
  if (index < 0) return -index;
  return index < size ? index : 2 * (size - 1) - index;
}

/** Returns a network's input, with channels in this order, or gray alone. */
export function referenceInput(
  { records, format, indices, augmentations }: ImageBatch,
  preprocessing: Preprocessing,
  channelOrder: ChannelOrder,
): Float64Array {
  const { height, width, channels, labelBytes, recordBytes, planePixels } = format;
  const { red, green, blue, gray } = imagenetMeans;
  const means = channels === 1 ? [gray] : [red, green, blue];
  const { subtract, divide } =
    preprocessing === 'imagenet' ? { subtract: means, divide: [255, 255, 255] } : preprocessing;
  const values = new Float64Array(indices.length * height * width * channels);
  let at = 0;
  for (const [image, index] of indices.entries()) {
    const augmentation = augmentations[image];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const fromY = sourceIndex(augmentation, y + cropTop(augmentation) - 4, height);
        const paddedX = sourceIndex(augmentation, x + cropLeft(augmentation) - 4, width);
        const fromX = isFlipped(augmentation) ? width - 1 - paddedX : paddedX;
        const inside = fromY >= 0 && fromY < height && fromX >= 0 && fromX < width;
        for (let c = 0; c < channels; c++) {
          const color = channelOrder === 'bgr' ? channels - 1 - c : c;
          const source = index * recordBytes + labelBytes + color * planePixels + fromY * width + fromX;
          const mean = subtract.length === channels ? subtract[color] : subtract[channels * (width * y + x) + color];
          values[at++] = ((inside ? records[source] : 0) - mean) / divide[color];
        }
      }
    }
  }
  return values;
}
