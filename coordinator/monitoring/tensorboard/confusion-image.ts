// Draws a confusion matrix as an image. Pure.
import type { RgbImage } from './kernel-image.js';

/** Approximate width and height of the image in pixels; more for more classes, of which each takes at least one pixel. */
const targetSize = 512;
/** Colors of the fractions 0 and 1: white and dark blue. */
const [none, all] = [
  [255, 255, 255],
  [8, 48, 107],
] as const;

/**
 * Draws a row for each true class and a column for each predicted class, in the order of the labels. The color is the
 * square root of the fraction of the class's images, so that rare confusions are visible too.
 */
export function confusionImage(confusion: readonly (readonly number[])[]): RgbImage {
  const classCount = confusion.length;
  const scale = Math.max(1, Math.floor(targetSize / classCount));
  const size = classCount * scale;
  const rgb = new Uint8Array(3 * size * size);
  for (const [label, row] of confusion.entries()) {
    const images = row.reduce((sum, count) => sum + count, 0);
    const line = new Uint8Array(3 * size);
    for (const [predicted, count] of row.entries()) {
      const share = images === 0 ? 0 : Math.sqrt(count / images);
      const color = none.map((value, channel) => Math.round(value + share * (all[channel] - value)));
      for (let x = predicted * scale; x < (predicted + 1) * scale; x++) line.set(color, 3 * x);
    }
    for (let y = label * scale; y < (label + 1) * scale; y++) rgb.set(line, 3 * size * y);
  }
  return { width: size, height: size, rgb };
}
