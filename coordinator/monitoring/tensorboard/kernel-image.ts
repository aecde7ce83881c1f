// The stem's kernels as a picture: what the network looks for in the pixels themselves. Pure.
import { arrayOf, type ConvLayer } from '../../../shared/network/layout.js';

export interface Picture {
  width: number;
  height: number;
  /** Red, green and blue of each pixel, row by row. */
  rgb: Uint8Array;
}

/** Pixels a side of one weight; a gap of as many is around each kernel. */
const scale = 8;
/** Of the gaps: nearly white, so that it is not taken for a weight of 0, which is mid-grey. */
const gapColor = 240;

/**
 * A grid of the kernels of a convolution over three channels. Grey is 0; the largest magnitude of all is full or none of
 * its color, so that kernels can be compared.
 * @param colors which of the input's channels is red, which green, which blue
 */
export function kernelGrid(weights: Float32Array, conv: ConvLayer, colors: readonly [number, number, number]): Picture {
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
      // In weights from the grid's corner; the first row and column of each cell are the gap.
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
