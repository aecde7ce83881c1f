// Turns a decoded image into a record, the form in which engines receive images. Pure.
import type { RecordFormat } from '../shared/dataset/record-format.js';

/** Writes the pixels of an image to its record. The label stays as it is. @param planes red, green and blue */
export function writePixels(planes: Uint8Array, record: Uint8Array, { channels, labelBytes }: RecordFormat): void {
  record.set(channels === 1 ? luminanceOf(planes) : planes, labelBytes);
}

/** Returns the luminance as in ITU-R BT.601, which JPEG uses. A gray pixel keeps its value. */
function luminanceOf(planes: Uint8Array): Uint8Array {
  const pixels = planes.length / 3;
  return Uint8Array.from({ length: pixels }, (_, i) =>
    Math.round(0.299 * planes[i] + 0.587 * planes[pixels + i] + 0.114 * planes[2 * pixels + i]),
  );
}
