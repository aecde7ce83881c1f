import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { describe, expect, it } from 'vitest';
import { recordFormat } from '../../../shared/dataset/record-format.js';
import type { Image } from '../../../inference/images/decode.js';
import { recordOf } from '../../../inference/images/resize.js';
import { imageFits } from '../../../shared/dataset/description.js';

function image(width: number, height: number, colorAt: (row: number, column: number) => readonly number[]): Image {
  const pixels = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) pixels.set(colorAt(Math.floor(i / width), i % width), 3 * i);
  return { width, height, pixels };
}

/** Returns the red plane of a record. */
const redOf = (record: Uint8Array) => record.subarray(1, 1 + 1024);

describe.each(imageFits)('recordOf with %s', (fit) => {
  it('does not change an image of 32×32 pixels', () => {
    const record = recordOf(
      image(32, 32, (row, column) => [row * 8, column * 8, (row * column) % 256]),
      fit,
      cifar10Format,
    );
    expect(record.length).toBe(3073);
    for (let i = 0; i < 1024; i++) {
      const [row, column] = [Math.floor(i / 32), i % 32];
      const planes = [record[1 + i], record[1025 + i], record[2049 + i]];
      expect(planes).toEqual([row * 8, column * 8, (row * column) % 256]);
    }
  });

  it.each([
    [1, 1],
    [5, 700],
    [31, 33],
    [1000, 40],
  ])('keeps the color of a uniform image of %i×%i pixels', (width, height) => {
    const record = recordOf(
      image(width, height, () => [200, 7, 255]),
      fit,
      cifar10Format,
    );
    expect(new Set(redOf(record))).toEqual(new Set([200]));
    expect(new Set(record.subarray(1025, 2049))).toEqual(new Set([7]));
    expect(new Set(record.subarray(2049))).toEqual(new Set([255]));
  });

  it('averages a fine pattern without aliasing', () => {
    // The mean of a checkerboard of 0 and 254 is 127, except at the edges, where the kernel is truncated.
    const record = recordOf(
      image(256, 256, (row, column) => [254 * ((row + column) % 2), 0, 0]),
      fit,
      cifar10Format,
    );
    for (const red of redOf(record)) expect(Math.abs(red - 127)).toBeLessThanOrEqual(2);
  });
});

describe('recordOf, for a wide black image whose left third is white,', () => {
  const wide = image(192, 64, (_, column) => (column < 64 ? [255, 255, 255] : [0, 0, 0]));

  it('uses the black center with crop', () => {
    // The center consists of columns 64 to 127; at its left edge the kernel extends into white columns.
    const red = redOf(recordOf(wide, 'crop', cifar10Format));
    expect(red[31]).toBe(0);
    expect(Math.max(...red.subarray(1, 32))).toBeLessThan(26);
  });

  it('uses the whole image with squeeze: a third of each row is white', () => {
    const row = redOf(recordOf(wide, 'squeeze', cifar10Format)).subarray(0, 32);
    expect([...row.subarray(0, 9)]).toEqual(Array(9).fill(255));
    expect([...row.subarray(13)]).toEqual(Array(19).fill(0));
  });
});

describe('recordOf for other shapes', () => {
  const shape = (height: number, width: number, channels: 1 | 3) =>
    recordFormat({ height, width, channels, classCount: 300 });

  it('converts colors to luminance for gray images', () => {
    const record = recordOf(
      image(5, 5, () => [255, 0, 100]),
      'crop',
      shape(8, 8, 1),
    );
    // Two bytes of label, then 64 pixels of 0.299 × 255 + 0.114 × 100 = 87.645.
    expect([...record]).toEqual([0, 0, ...Array<number>(64).fill(88)]);
  });

  it('crops to the aspect ratio of the target', () => {
    // Of 90×20 pixels, the center 30×20 pixels remain: columns 30 to 59.
    const wide = image(90, 20, (_, column) => (column >= 25 && column < 65 ? [9, 9, 9] : [200, 200, 200]));
    const record = recordOf(wide, 'crop', shape(10, 15, 3));
    expect(new Set(record.subarray(2))).toEqual(new Set([9]));
    expect(record).toHaveLength(2 + 3 * 150);
  });
});
