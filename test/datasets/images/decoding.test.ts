// What the pixels of imported images are.
import path from 'node:path';
import type { Sharp } from 'sharp';
import { expect, it } from 'vitest';
import { readDataset } from '../../../datasets/read-dataset.js';
import type { ReadOptions } from '../../../datasets/read-options.js';
import { columns, noiseImage, plainImage, writeImages } from '../../support/image-files.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const [red, green, blue] = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
] as const;
const size = 4;
const planeBytes = size * size;

/** Imports one image and returns its planes: red, green, blue. */
async function planesOf(name: string, image: Sharp | Uint8Array, options: ReadOptions = {}): Promise<Uint8Array[]> {
  const folder = await temporaryFolder();
  await writeImages(folder, { [`photos/a/${name}`]: image, 'photos/b/other.png': plainImage(9, 9, 'white') });
  const { training } = await readDataset(path.join(folder, 'photos'), {
    imageSize: size,
    cacheDirectory: path.join(folder, 'cache'),
    processes: 1,
    ...options,
  });
  expect(training.length).toBe(2 * (1 + 3 * planeBytes));
  return [0, 1, 2].map((channel) => training.subarray(1 + channel * planeBytes, 1 + (channel + 1) * planeBytes));
}

/** Returns the red, green and blue values at a position. */
function pixelAt(planes: Uint8Array[], row: number, column: number): number[] {
  return planes.map((plane) => plane[row * size + column]);
}

/** Returns the largest difference between two colors. Lossy formats change colors a little. */
function difference(found: readonly number[], expected: readonly number[]): number {
  return Math.max(...found.map((value, index) => Math.abs(value - expected[index])));
}

it.each([
  ['image.png', 0],
  ['image.jpg', 8],
  ['image.webp', 8],
  ['image.gif', 8],
  ['image.tiff', 8],
  ['image.avif', 12],
] as const)('%s is decoded', async (name, tolerance) => {
  const planes = await planesOf(name, plainImage(10, 7, '#c86432'));
  expect(difference(pixelAt(planes, 0, 0), [200, 100, 50])).toBeLessThanOrEqual(tolerance);
  expect(difference(pixelAt(planes, 3, 3), [200, 100, 50])).toBeLessThanOrEqual(tolerance);
});

it('an image that has the size of the dataset keeps its pixels', async () => {
  const image = noiseImage(size, size, 1);
  const pixels = await image.clone().raw().toBuffer();
  const planes = await planesOf('image.png', image);
  const found = Array.from({ length: planeBytes }, (_, index) => planes.map((plane) => plane[index])).flat();
  expect(found).toEqual([...pixels]);
});

it('crop keeps the center of a wide image', async () => {
  // 12×4 pixels: of three squares, the middle one remains.
  const image = columns(4, ...[red, green, blue].flatMap((color) => [color, color, color, color]));
  const planes = await planesOf('image.png', image);
  for (const column of [0, 1, 2, 3]) expect(pixelAt(planes, 1, column)).toEqual([0, 255, 0]);
});

it('squeeze keeps the whole of a wide image', async () => {
  const image = columns(4, ...[red, green, blue].flatMap((color) => [color, color, color, color]));
  const planes = await planesOf('image.png', image, { fit: 'squeeze' });
  expect(difference(pixelAt(planes, 1, 0), [255, 0, 0])).toBeLessThanOrEqual(40);
  expect(difference(pixelAt(planes, 1, 3), [0, 0, 255])).toBeLessThanOrEqual(40);
});

it('an image is turned upright according to its EXIF orientation', async () => {
  // Stored lying on its side: red on the left. Orientation 6 is turned a quarter clockwise, so that red is at the top.
  const stored = columns(8, red, red, red, red, blue, blue, blue, blue);
  const image = await stored.withMetadata({ orientation: 6 }).png().toBuffer();
  const planes = await planesOf('image.png', image);
  expect(difference(pixelAt(planes, 0, 0), [255, 0, 0])).toBeLessThanOrEqual(40);
  expect(difference(pixelAt(planes, 0, 3), [255, 0, 0])).toBeLessThanOrEqual(40);
  expect(difference(pixelAt(planes, 3, 0), [0, 0, 255])).toBeLessThanOrEqual(40);
});

it('transparent pixels are blended with white', async () => {
  const planes = await planesOf('image.png', plainImage(8, 8, { r: 255, g: 0, b: 0, alpha: 0.5 }));
  expect(difference(pixelAt(planes, 2, 2), [255, 127, 127])).toBeLessThanOrEqual(1);
});

it.each<[name: string, file: string, image: () => Sharp, expected: number[]]>([
  ['gray', 'image.png', () => plainImage(8, 8, '#808080').toColorspace('b-w').png(), [128, 128, 128]],
  ['CMYK', 'image.jpg', () => plainImage(8, 8, '#ff0000').toColorspace('cmyk').jpeg(), [240, 0, 0]],
  ['16-bit', 'image.png', () => plainImage(8, 8, '#c86432').toColorspace('rgb16').png(), [200, 100, 50]],
])('%s images become RGB', async (_, file, image, expected) => {
  expect(difference(pixelAt(await planesOf(file, await image().toBuffer()), 1, 1), expected)).toBeLessThanOrEqual(16);
});
