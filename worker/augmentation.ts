// Turns records into the network's input by flipping, padding, cropping and preprocessing them. Pure: the batch contains
// the random choices.
import {
  cropMargin,
  isFlipped,
  isReflected,
  cropLeft,
  cropTop,
  type ImageBatch,
  type Preprocessing,
} from '../shared/dataset/image-batch.js';
import { hasPixelMeans, inputTransformOf } from '../shared/dataset/input-transform.js';
import { labelAt, type RecordFormat } from '../shared/dataset/record-format.js';

/** A channel of the network's input. */
interface InputChannel {
  /** Source plane in the record: 0 is red or gray, 1 green, 2 blue. */
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

const unchanged = Uint8Array.from(Array(256).keys());

/**
 * Writes the batch's augmented images as uint8: RGB or gray.
 * @param out receives the images, shape [image, row, column, channel]
 */
export function cropBatch(batch: ImageBatch, out: Uint8Array): void {
  const planes = Array.from({ length: batch.format.channels }, (_, plane) => plane);
  cropThrough(
    batch,
    planes.map((plane) => ({ plane, valueOfByte: unchanged })),
    out,
  );
}

/**
 * Writes one augmented image.
 * @param planes the image's planes, one after another
 * @param out receives the augmented planes
 */
export function cropPlanes(planes: Uint8Array, format: RecordFormat, augmentation: number, out: Uint8Array): void {
  const plane = { height: format.height, width: format.width, channels: 1 };
  for (let start = 0; start < planes.length; start += format.planePixels) {
    cropPlane(planes, start, plane, augmentation, unchanged, out, start);
  }
}

/**
 * Writes the batch's augmented images as the network's input. Padding is added before preprocessing, so its zeros are
 * preprocessed like any other byte.
 * @param out receives the input, shape [image, row, column, channel], with the channels in the network's order
 */
export function fillInput(batch: ImageBatch, preprocessing: Preprocessing, out: Float32Array): void {
  const { channels: channelCount, imageValues } = batch.format;
  const transform = inputTransformOf(preprocessing, channelCount);
  const { subtract, divide, channelOrder } = transform;
  const isPerPixel = hasPixelMeans(transform);
  const channels: readonly InputChannel[] = channelOrder.map((plane) => ({
    plane,
    valueOfByte: isPerPixel ? unchanged : tableOf(subtract[plane], divide[plane]),
  }));
  cropThrough(batch, channels, out);
  if (!isPerPixel) return;
  const size = batch.indices.length * imageValues;
  for (let i = 0; i < size; i++) {
    const inImage = i % imageValues;
    const channel = inImage % channelCount;
    const plane = channelOrder[channel];
    out[i] = Math.fround(out[i] - subtract[inImage - channel + plane]) / divide[plane];
  }
}

export function labelsOf(batch: ImageBatch): Int32Array {
  return Int32Array.from(batch.indices, (index) => labelAt(batch.records, index, batch.format));
}

/** Flips and crops the images, and maps each byte through its channel's lookup table. */
function cropThrough(batch: ImageBatch, channels: readonly InputChannel[], out: Uint8Array | Float32Array): void {
  const { format, records } = batch;
  const { labelBytes, recordBytes, planePixels, imageValues } = format;
  for (const [channel, { plane, valueOfByte }] of channels.entries()) {
    for (const [image, index] of batch.indices.entries()) {
      const start = index * recordBytes + labelBytes + plane * planePixels;
      cropPlane(records, start, format, batch.augmentations[image], valueOfByte, out, image * imageValues + channel);
    }
  }
}

/** Writes one augmented plane of an image to every `channels`th element of `out`, starting at index `at`. */
function cropPlane(
  records: Uint8Array,
  start: number,
  { height, width, channels }: { height: number; width: number; channels: number },
  augmentation: number,
  valueOfByte: Uint8Array | Float32Array,
  out: Uint8Array | Float32Array,
  at: number,
): void {
  const shiftDown = cropTop(augmentation) - cropMargin;
  const shiftRight = cropLeft(augmentation) - cropMargin;
  const flipped = isFlipped(augmentation);
  const firstColumn = Math.max(0, -shiftRight);
  const endColumn = Math.min(width, width - shiftRight);
  const direction = flipped ? -1 : 1;
  const reflected = isReflected(augmentation);
  const padding = valueOfByte[0];
  for (let row = 0; row < height; row++, at += width * channels) {
    const sourceRow = reflected ? reflectedRow(row + shiftDown, height) : row + shiftDown;
    const rowIsInside = sourceRow >= 0 && sourceRow < height;
    const end = rowIsInside ? endColumn : 0;
    const first = rowIsInside ? firstColumn : 0;
    let target = at;
    // Column c of the flipped image is column width - 1 - c of the original.
    const sourceColumn = flipped ? width - 1 - (first + shiftRight) : first + shiftRight;
    let source = start + sourceRow * width + sourceColumn;
    for (let column = 0; column < first; column++, target += channels) {
      // With reflection, column -n shows column n.
      out[target] = reflected ? valueOfByte[records[source + (first - column) * direction]] : padding;
    }
    for (let column = first; column < end; column++, target += channels, source += direction) {
      out[target] = valueOfByte[records[source]]!;
    }
    for (let column = end; column < width; column++, target += channels) {
      // With reflection, column last + n shows column last - n. `source` already points one past the last column.
      out[target] = reflected ? valueOfByte[records[source - (column - end + 2) * direction]] : padding;
    }
  }
}

/**
 * Returns the source row for a row of the image with reflected padding: row -n shows row n, row last + n shows row
 * last - n, and rows inside the image show themselves.
 */
function reflectedRow(row: number, height: number): number {
  const last = height - 1;
  return last - Math.abs(last - Math.abs(row));
}
