// Turns CIFAR-10 records into the network's input by flipping, padding, cropping and preprocessing them. Pure: the
// batch contains the random choices.
import {
  cropMargin,
  isFlipped,
  isReflected,
  pixelsPerPlane,
  recordBytes,
  cropLeft,
  cropTop,
  type ImageBatch,
  type Preprocessing,
} from '../shared/dataset/image-batch.js';
import { inputTransformOf } from '../shared/dataset/input-transform.js';
import { imageChannels, imageSize } from '../shared/network/layout.js';

/** Number of values in an image, raw or preprocessed. */
export const valuesPerImage = pixelsPerPlane * imageChannels;

/** A channel of the network's input. */
interface InputChannel {
  /** Source plane in the record: 0 is red, 1 green, 2 blue. */
  plane: number;
  /** Lookup table from a raw byte to the channel's value. */
  valueOfByte: Float32Array | Uint8Array;
}

/**
 * Returns (byte - mean) / divisor for each byte value, rounding to float32 after each operation, as NumPy and Keras do.
 */
function tableOf(mean: number, divisor: number): Float32Array {
  const [float32Mean, float32Divisor] = [Math.fround(mean), Math.fround(divisor)];
  return Float32Array.from({ length: 256 }, (_, byte) => Math.fround(byte - float32Mean) / float32Divisor);
}

const rawChannels = Array.from({ length: 3 }, (_, plane) => ({
  plane,
  valueOfByte: Uint8Array.from(Array(256).keys()),
}));

/**
 * Writes the batch's augmented images as uint8 RGB.
 * @param out receives the images, shape [image, row, column, channel]
 */
export function cropBatch(batch: ImageBatch, out: Uint8Array): void {
  cropThrough(batch, rawChannels, out);
}

/**
 * Writes the batch's augmented images as the network's input. Padding is added before preprocessing, so its zeros are
 * preprocessed like any other byte.
 * @param out receives the input, shape [image, row, column, channel], with the channels in the network's order
 */
export function fillInput(batch: ImageBatch, preprocessing: Preprocessing, out: Float32Array): void {
  const { subtract, divide, channelOrder } = inputTransformOf(preprocessing);
  const isPerPixel = subtract.length > imageChannels;
  const channels: readonly InputChannel[] = channelOrder.map((plane) =>
    isPerPixel ? rawChannels[plane] : { plane, valueOfByte: tableOf(subtract[plane], divide[plane]) },
  );
  cropThrough(batch, channels, out);
  if (!isPerPixel) return;
  const size = batch.indices.length * valuesPerImage;
  for (let i = 0; i < size; i++) {
    const inImage = i % valuesPerImage;
    const channel = inImage % imageChannels;
    const plane = channelOrder[channel];
    out[i] = Math.fround(out[i] - subtract[inImage - channel + plane]) / divide[plane];
  }
}

export function labelsOf(batch: ImageBatch): Int32Array {
  return Int32Array.from(batch.indices, (index) => batch.records[index * recordBytes]);
}

/** Flips and crops the images, and maps each byte through its channel's lookup table. */
function cropThrough(batch: ImageBatch, channels: readonly InputChannel[], out: Uint8Array | Float32Array): void {
  for (const [channel, { plane, valueOfByte }] of channels.entries()) {
    for (const [image, index] of batch.indices.entries()) {
      const start = index * recordBytes + 1 + plane * pixelsPerPlane;
      cropPlane(batch.records, start, batch.augmentations[image], valueOfByte, out, image * valuesPerImage + channel);
    }
  }
}

/** Writes one augmented plane of an image to every third element of `out`, starting at index `at`. */
function cropPlane(
  records: Uint8Array,
  start: number,
  augmentation: number,
  valueOfByte: Uint8Array | Float32Array,
  out: Uint8Array | Float32Array,
  at: number,
): void {
  const shiftDown = cropTop(augmentation) - cropMargin;
  const shiftRight = cropLeft(augmentation) - cropMargin;
  const flipped = isFlipped(augmentation);
  const firstColumn = Math.max(0, -shiftRight);
  const endColumn = Math.min(imageSize, imageSize - shiftRight);
  const direction = flipped ? -1 : 1;
  const reflected = isReflected(augmentation);
  const padding = valueOfByte[0];
  for (let row = 0; row < imageSize; row++, at += imageSize * imageChannels) {
    const sourceRow = reflected ? reflectedRow(row + shiftDown) : row + shiftDown;
    const rowIsInside = sourceRow >= 0 && sourceRow < imageSize;
    const end = rowIsInside ? endColumn : 0;
    const first = rowIsInside ? firstColumn : 0;
    let target = at;
    // Column c of the flipped image is column 31 - c of the original.
    const sourceColumn = flipped ? imageSize - 1 - (first + shiftRight) : first + shiftRight;
    let source = start + sourceRow * imageSize + sourceColumn;
    for (let column = 0; column < first; column++, target += imageChannels) {
      // With reflection, column -n shows column n.
      out[target] = reflected ? valueOfByte[records[source + (first - column) * direction]] : padding;
    }
    for (let column = first; column < end; column++, target += imageChannels, source += direction) {
      out[target] = valueOfByte[records[source]]!;
    }
    for (let column = end; column < imageSize; column++, target += imageChannels) {
      // With reflection, column 31 + n shows column 31 - n. `source` already points one past column 31.
      out[target] = reflected ? valueOfByte[records[source - (column - end + 2) * direction]] : padding;
    }
  }
}

/**
 * Returns the source row for a row of the image with reflected padding: row -n shows row n, row 31 + n shows row
 * 31 - n, and rows inside the image show themselves.
 */
function reflectedRow(row: number): number {
  const last = imageSize - 1;
  return last - Math.abs(last - Math.abs(row));
}
