// From CIFAR-10 records to the network's input: flip, padding, crop and preprocessing. Pure; chooses nothing at random.
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

/** Values of one image, raw or preprocessed. */
export const valuesPerImage = pixelsPerPlane * imageChannels;

/** What a raw byte becomes, per channel of the network's input, and which raw plane (0 red, 1 green, 2 blue) feeds it. */
interface InputChannel {
  plane: number;
  valueOfByte: Float32Array | Uint8Array;
}

/** (byte − mean) / divisor, each operation rounded to float32, as numpy and Keras compute it from float32 images. */
function tableOf(mean: number, divisor: number): Float32Array {
  const [float32Mean, float32Divisor] = [Math.fround(mean), Math.fround(divisor)];
  return Float32Array.from({ length: 256 }, (_, byte) => Math.fround(byte - float32Mean) / float32Divisor);
}

const rawChannels = Array.from({ length: 3 }, (_, plane) => ({
  plane,
  valueOfByte: Uint8Array.from(Array(256).keys()),
}));

/**
 * The batch's views as uint8 RGB images: flipped, padded, cropped.
 * @param out [images, row, column, channel]
 */
export function cropBatch(batch: ImageBatch, out: Uint8Array): void {
  cropThrough(batch, rawChannels, out);
}

/**
 * The batch's views as the network's input. The padding's zeros are raw: they are preprocessed like any other byte.
 * @param out [images, row, column, channel], channels in the network's order
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
    const place = i % valuesPerImage;
    const plane = channelOrder[place % imageChannels];
    out[i] = Math.fround(out[i] - subtract[place - (place % imageChannels) + plane]) / divide[plane];
  }
}

/** The label of each image, 0 to 9. */
export function labelsOf(batch: ImageBatch): Int32Array {
  return Int32Array.from(batch.indices, (index) => batch.records[index * recordBytes]);
}

/** Crops, and passes each byte through its channel's table. */
function cropThrough(batch: ImageBatch, channels: readonly InputChannel[], out: Uint8Array | Float32Array): void {
  for (const [channel, { plane, valueOfByte }] of channels.entries()) {
    for (const [image, index] of batch.indices.entries()) {
      const start = index * recordBytes + 1 + plane * pixelsPerPlane;
      cropPlane(batch.records, start, batch.views[image], valueOfByte, out, image * valuesPerImage + channel);
    }
  }
}

/** One plane of one image, into every third value of `out` from `at`. */
function cropPlane(
  records: Uint8Array,
  start: number,
  view: number,
  valueOfByte: Uint8Array | Float32Array,
  out: Uint8Array | Float32Array,
  at: number,
): void {
  const shiftDown = cropTop(view) - cropMargin;
  const shiftRight = cropLeft(view) - cropMargin;
  const flipped = isFlipped(view);
  const firstColumn = Math.max(0, -shiftRight);
  const endColumn = Math.min(imageSize, imageSize - shiftRight);
  const direction = flipped ? -1 : 1;
  const reflected = isReflected(view);
  const padding = valueOfByte[0];
  for (let row = 0; row < imageSize; row++, at += imageSize * imageChannels) {
    const sourceRow = reflected ? reflectedPlace(row + shiftDown) : row + shiftDown;
    const rowIsInside = sourceRow >= 0 && sourceRow < imageSize;
    const end = rowIsInside ? endColumn : 0;
    const first = rowIsInside ? firstColumn : 0;
    let target = at;
    // The flipped image's column c is the image's column 31 - c.
    const sourceColumn = flipped ? imageSize - 1 - (first + shiftRight) : first + shiftRight;
    let source = start + sourceRow * imageSize + sourceColumn;
    for (let column = 0; column < first; column++, target += imageChannels) {
      // Column -n is column n.
      out[target] = reflected ? valueOfByte[records[source + (first - column) * direction]] : padding;
    }
    for (let column = first; column < end; column++, target += imageChannels, source += direction) {
      out[target] = valueOfByte[records[source]]!;
    }
    for (let column = end; column < imageSize; column++, target += imageChannels) {
      // Column 31 + n is column 31 - n; the source is behind column 31.
      out[target] = reflected ? valueOfByte[records[source - (column - end + 2) * direction]] : padding;
    }
  }
}

/** The row of the image that a row of its reflected margin repeats: -n is n, 31 + n is 31 - n. */
function reflectedPlace(row: number): number {
  const last = imageSize - 1;
  return last - Math.abs(last - Math.abs(row));
}
