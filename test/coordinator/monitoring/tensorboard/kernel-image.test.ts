import { inflateSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { kernelGrid } from '../../../../coordinator/monitoring/tensorboard/kernel-image.js';
import { encodePng } from '../../../../coordinator/monitoring/tensorboard/png.js';
import { cifar10Format } from '../../../../shared/dataset/cifar10-layout.js';
import { parseGraph } from '../../../../shared/network/graph-schema.js';
import { layoutNetwork } from '../../../../shared/network/layout.js';

/** Returns the layout of a network that begins with a convolution. */
function layoutOf(filters: number, kernelSize: number | [number, number] = 3) {
  const nodes = [
    { name: 'conv', op: 'conv2d', inputs: ['input'], filters, kernelSize, bias: false },
    { name: 'pool', op: 'globalAveragePool', inputs: ['conv'] },
    { name: 'dense', op: 'dense', inputs: ['pool'], units: 'classes' },
  ];
  return layoutNetwork(parseGraph({ name: 'network', nodes }, 'the test'), cifar10Format);
}

const layout = layoutOf(4);
const [kernel] = layout.weights;

/** Returns the index of a weight of the kernel in the vector of weights. The kernel's shape is [3, 3, 3, 4]. */
function indexOf(row: number, column: number, channel: number, filter: number): number {
  return kernel.offset + ((row * 3 + column) * 3 + channel) * 4 + filter;
}

it('four kernels make two rows of two, each 3 × 3 with a gap around it, at eight pixels per weight', () => {
  const grid = kernelGrid(new Float32Array(layout.weightsSize), kernel, [0, 1, 2]);
  // (2 kernels × (3 weights + 1 gap) + 1 gap) × 8 pixels = 72 pixels.
  expect([grid.width, grid.height]).toEqual([72, 72]);
  const red = (x: number, y: number) => grid.rgb[3 * (y * 72 + x)];
  // The gap is 8 pixels wide; a weight of 0 is mid-gray: round(127.5).
  expect([red(0, 0), red(7, 40), red(8, 8), red(31, 31), red(32, 31), red(40, 40)]).toEqual([
    240, 240, 128, 128, 240, 128,
  ]);
});

it('a weight colors its square in its channel: the largest becomes 255, its negative 0, and half of it 191', () => {
  const weights = new Float32Array(layout.weightsSize);
  weights[indexOf(0, 0, 0, 0)] = 2;
  weights[indexOf(2, 1, 1, 3)] = -2;
  weights[indexOf(1, 2, 2, 1)] = 1;
  // The network takes blue, green, red.
  const { rgb, width } = kernelGrid(weights, kernel, [2, 1, 0]);
  const pixel = (x: number, y: number) => [...rgb.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)];
  expect(pixel(8, 8)).toEqual([128, 128, 255]); // filter 0, row 0, column 0: blue
  expect(pixel(15, 15)).toEqual([128, 128, 255]);
  expect(pixel(16, 8)).toEqual([128, 128, 128]);
  // Filter 3 starts at (40, 40); row 2, column 1 is 16 pixels further down and 8 to the right. Green is 0.
  expect(pixel(48, 56)).toEqual([128, 0, 128]);
  // Filter 1 starts at (40, 8); row 1, column 2 is 8 pixels further down and 16 to the right. Red is round(191.25).
  expect(pixel(56, 16)).toEqual([191, 128, 128]);
});

it('grid cells without a filter are empty', () => {
  // Eight filters need a grid of three columns and three rows, with one empty cell.
  const wide = layoutOf(8);
  const { rgb, width, height } = kernelGrid(new Float32Array(wide.weightsSize), wide.weights[0], [0, 1, 2]);
  expect([width, height]).toEqual([104, 104]);
  expect(rgb[3 * (80 * 104 + 80)]).toBe(240);
  expect(rgb[3 * (80 * 104 + 48)]).toBe(128);
});

it('kernels need not be square', () => {
  // Two columns of kernels of 2 × 5 weights: 2 × (5 + 1) + 1 = 13 weights wide, and 2 × (2 + 1) + 1 = 7 high.
  const flat = layoutOf(4, [2, 5]);
  const weights = new Float32Array(flat.weightsSize);
  // Filter 3, row 1, column 4, red: a kernel's shape is [2, 5, 3, 4].
  weights[((1 * 5 + 4) * 3 + 0) * 4 + 3] = 1;
  const { rgb, width, height } = kernelGrid(weights, flat.weights[0], [0, 1, 2]);
  expect([width, height]).toEqual([104, 56]);
  // The filter starts at (7, 4) weights, and its last one is at (11, 5).
  expect([...rgb.subarray(3 * (40 * 104 + 88), 3 * (40 * 104 + 88) + 3)]).toEqual([255, 128, 128]);
});

it('an image of many kernels is not enlarged beyond 1,024 pixels', () => {
  // 16 columns of 7 × 7 weights: 16 × 8 + 1 = 129 weights wide. Eight pixels per weight would make 1,032 pixels.
  const many = layoutOf(256, 7);
  const { width, height } = kernelGrid(new Float32Array(many.weightsSize), many.weights[0], [0, 1, 2]);
  expect([width, height]).toEqual([7 * 129, 7 * 129]);
});

it('a PNG has its size, its rows with a filter byte each, and an end', () => {
  const rgb = Uint8Array.from({ length: 12 }, (_, i) => 20 * i);
  const png = encodePng({ width: 2, height: 2, rgb });
  expect(png.subarray(0, 16).toString('latin1')).toBe('\x89PNG\r\n\x1a\n\0\0\0\rIHDR');
  expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([2, 2]);
  const dataBytes = png.readUInt32BE(33);
  const rows = inflateSync(png.subarray(41, 41 + dataBytes));
  expect([...rows]).toEqual([0, ...rgb.subarray(0, 6), 0, ...rgb.subarray(6)]);
  expect(png.subarray(-8).toString('hex')).toBe('49454e44ae426082');
});
