// Draws convolution kernels as an image. Pure.
import { arrayOf, type ArrayLayout } from '../../../shared/network/layout.js';

export interface RgbImage {
  width: number;
  height: number;
  /** Red, green and blue value of each pixel, row by row. */
  rgb: Uint8Array;
}

/** Width and height in pixels of each weight, and width of the gaps around kernels, unless the image gets too large. */
const maxScale = 8;
/** Width in pixels up to which an image may be enlarged. */
const maxEnlargedWidth = 1024;
/** Gray level of the gaps: nearly white, to differ from small weights, which are mid-gray. */
const gapColor = 240;

/**
 * Draws the kernels of a convolution over colors, or over gray, as a grid. Zero is mid-gray. All kernels share one scale, in
 * which the largest magnitude maps to 0 or 255.
 * @param kernel the array of the kernels, [height, width, in, out]
 * @param colors indices of the red, green and blue input channels
 */
export function kernelGrid(
  weights: Float32Array,
  kernel: ArrayLayout,
  colors: readonly [number, number, number],
): RgbImage {
  const [kernelHeight, kernelWidth, inputChannels, outputChannels] = kernel.shape;
  const values = arrayOf(weights, kernel);
  const largest = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0) || 1;
  const columns = Math.ceil(Math.sqrt(outputChannels));
  const rows = Math.ceil(outputChannels / columns);
  const [cellWidth, cellHeight] = [kernelWidth + 1, kernelHeight + 1];
  const gridWidth = columns * cellWidth + 1;
  const scale = Math.max(1, Math.min(maxScale, Math.floor(maxEnlargedWidth / gridWidth)));
  const width = gridWidth * scale;
  const height = (rows * cellHeight + 1) * scale;
  const rgb = new Uint8Array(3 * width * height).fill(gapColor);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      // Coordinates in units of weights. The first row and column of each grid cell are a gap.
      const [gridX, gridY] = [Math.floor(x / scale), Math.floor(y / scale)];
      const output = Math.floor(gridY / cellHeight) * columns + Math.floor(gridX / cellWidth);
      const [kernelX, kernelY] = [(gridX % cellWidth) - 1, (gridY % cellHeight) - 1];
      if (kernelX < 0 || kernelY < 0 || output >= outputChannels) continue;
      colors.forEach((input, color) => {
        const value = values[((kernelY * kernelWidth + kernelX) * inputChannels + input) * outputChannels + output];
        rgb[3 * (y * width + x) + color] = Math.round(127.5 + (127.5 * value) / largest);
      });
    }
  }
  return { width, height, rgb };
}
