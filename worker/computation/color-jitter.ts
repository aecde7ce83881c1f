// Random changes of brightness, contrast and saturation, as in PyTorch's ColorJitter. Pure. Only additions,
// multiplications and divisions, so every machine computes the same bytes.

/** Factors of 1 leave an image unchanged. */
export interface ColorFactors {
  brightness: number;
  contrast: number;
  saturation: number;
}

/** The orders in which the three changes can be applied. */
export const jitterOrders = [
  ['brightness', 'contrast', 'saturation'],
  ['brightness', 'saturation', 'contrast'],
  ['contrast', 'brightness', 'saturation'],
  ['contrast', 'saturation', 'brightness'],
  ['saturation', 'brightness', 'contrast'],
  ['saturation', 'contrast', 'brightness'],
] as const satisfies (keyof ColorFactors)[][];

/**
 * Changes an image in place. Each change blends it with another image: black for brightness, its mean gray for contrast,
 * and its own gray image for saturation. The results are rounded to bytes after each change.
 * @param planes red, green and blue, or gray
 */
export function jitterColors(planes: Uint8Array, channels: 1 | 3, factors: ColorFactors, order: number): void {
  for (const change of jitterOrders[order]) {
    const factor = factors[change];
    if (factor === 1) continue;
    if (change === 'saturation') changeSaturation(planes, channels, factor);
    else blendWith(change === 'brightness' ? 0 : meanGray(planes, channels), planes, factor);
  }
}

function blendWith(gray: number, planes: Uint8Array, factor: number): void {
  const table = new Uint8Array(256);
  const offset = (1 - factor) * gray;
  for (let byte = 0; byte < 256; byte++) table[byte] = byteOf(factor * byte + offset);
  for (let i = 0; i < planes.length; i++) planes[i] = table[planes[i]]!;
}

function changeSaturation(planes: Uint8Array, channels: 1 | 3, factor: number): void {
  if (channels === 1) return;
  const pixels = planes.length / 3;
  for (let pixel = 0; pixel < pixels; pixel++) {
    const [red, green, blue] = [planes[pixel], planes[pixels + pixel], planes[2 * pixels + pixel]];
    const offset = (1 - factor) * (grayOf(red, green, blue) / 1000);
    planes[pixel] = byteOf(factor * red + offset);
    planes[pixels + pixel] = byteOf(factor * green + offset);
    planes[2 * pixels + pixel] = byteOf(factor * blue + offset);
  }
}

/** Returns the mean of the gray image. The sum is an integer, and therefore exact. */
function meanGray(planes: Uint8Array, channels: 1 | 3): number {
  const pixels = planes.length / channels;
  let sum = 0;
  for (let pixel = 0; pixel < pixels; pixel++) {
    sum +=
      channels === 1 ? 1000 * planes[pixel] : grayOf(planes[pixel], planes[pixels + pixel], planes[2 * pixels + pixel]);
  }
  return sum / (1000 * pixels);
}

/** Returns 1000 times the gray value of a color. */
function grayOf(red: number, green: number, blue: number): number {
  return 299 * red + 587 * green + 114 * blue;
}

function byteOf(value: number): number {
  return Math.floor(Math.min(255, Math.max(0, value)) + 0.5);
}
