// Draws convolution kernels as an image. Pure.
import { arrayOf, type ConvLayer } from '../../../shared/network/layout.js';

export interface RgbImage {
  width: number;
  height: number;
  /** Red, green and blue value of each pixel, row by row. */
  rgb: Uint8Array;
}

/** Width and height in pixels of each weight, and width of the gaps around kernels. */
const scale = 8;
/** Gray level of the gaps: nearly white, to differ from small weights, which are mid-gray. */
const gapColor = 240;

/**
 * Draws the kernels of a convolution over colors, or over gray, as a grid. Zero is mid-gray. All kernels share one scale, in
 * which the largest magnitude maps to 0 or 255.
 * @param colors indices of the red, green and blue input channels
 */
export function kernelGrid(
  weights: Float32Array,
  conv: ConvLayer,
  colors: readonly [number, number, number],
): RgbImage {
  const { kernel, kernelSize, inputChannels, outputChannels } = conv;
  const values = arrayOf(weights, kernel);
  const largest = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0) || 1;
  const columns = Math.ceil(Math.sqrt(outputChannels));
  const rows = Math.ceil(outputChannels / columns);
  const pitch = kernelSize + 1;
  const width = (columns * pitch + 1) * scale;
  const height = (rows * pitch + 1) * scale;
  const rgb = new Uint8Array(3 * width * height).fill(gapColor);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      // Coordinates in units of weights. The first row and column of each grid cell are a gap.
      const [cellX, cellY] = [Math.floor(x / scale), Math.floor(y / scale)];
      const output = Math.floor(cellY / pitch) * columns + Math.floor(cellX / pitch);
      const [kernelX, kernelY] = [(cellX % pitch) - 1, (cellY % pitch) - 1];
      if (kernelX < 0 || kernelY < 0 || output >= outputChannels) continue;
      colors.forEach((input, color) => {
        const value = values[((kernelY * kernelSize + kernelX) * inputChannels + input) * outputChannels + output];
        rgb[3 * (y * width + x) + color] = Math.round(127.5 + (127.5 * value) / largest);
      });
    }
  }
  return { width, height, rgb };
}
