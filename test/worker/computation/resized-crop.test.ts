import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { KeyedRandom } from '../../../shared/random.js';
import {
  randomWindow,
  randomWindowDraws,
  resizeWindow,
  type Window,
} from '../../../worker/computation/resized-crop.js';

const size = { height: 32, width: 32 };

function windowsOf(count: number, smallestShare: number, imageSize = size): Window[] {
  const random = new KeyedRandom(4, 'pixelAugmentation', 1, 2);
  return Array.from({ length: count }, (_, image) =>
    randomWindow(random, image * randomWindowDraws, imageSize, smallestShare),
  );
}

function randomPlanes(bytes: number): Uint8Array {
  const random = new KeyedRandom(1, 'synthesis');
  return Uint8Array.from({ length: bytes }, (_, i) => random.integerAt(i, 256));
}

/** The definition, in float64: pixels are samples at the centers of squares, and edges are repeated. */
function bilinear(plane: Uint8Array, window: Window, row: number, column: number, { height, width } = size): number {
  const locate = (index: number, extent: number, windowExtent: number, start: number) => {
    const position = Math.max(0, ((index + 0.5) * windowExtent) / extent - 0.5);
    const first = Math.min(Math.floor(position), windowExtent - 1);
    return { first: start + first, second: start + Math.min(first + 1, windowExtent - 1), share: position - first };
  };
  const y = locate(row, height, window.height, window.top);
  const x = locate(column, width, window.width, window.left);
  const along = (from: number) => plane[from + x.first] * (1 - x.share) + plane[from + x.second] * x.share;
  return along(y.first * width) * (1 - y.share) + along(y.second * width) * y.share;
}

describe('a random window', () => {
  it('lies in the image, and has an area and an aspect ratio in the range, apart from rounding', () => {
    for (const window of windowsOf(2000, 0.25)) {
      expect(Math.min(window.top, window.left)).toBeGreaterThanOrEqual(0);
      expect(window.top + window.height).toBeLessThanOrEqual(32);
      expect(window.left + window.width).toBeLessThanOrEqual(32);
      // A side of at least 13 pixels, the root of 1024 / 4 × 3/4, is rounded by at most half a pixel.
      const ratio = window.width / window.height;
      expect(ratio).toBeGreaterThan((0.75 * 12.5) / 13.5);
      expect(ratio).toBeLessThan((4 / 3) * (13.5 / 12.5));
      expect(window.height * window.width).toBeGreaterThan(0.22 * 1024);
    }
  });

  it('has every area with about the same probability while windows fit', () => {
    // Areas up to 3/4 of the image always fit: a side is then at most the root of 3/4 × 4/3, times the image's.
    const areas = windowsOf(4000, 0.08).map((window) => (window.height * window.width) / 1024);
    const shareIn = (from: number, to: number) => areas.filter((area) => area >= from && area < to).length / 4000;
    // Of areas from 0.08 to 1, some of the largest are rejected and drawn again, so smaller ones have 0.2 / 0.92 = 21.7%
    // or slightly more. The standard deviation is 0.7%.
    for (const from of [0.1, 0.3, 0.5]) {
      expect(shareIn(from, from + 0.2)).toBeGreaterThan(0.19);
      expect(shareIn(from, from + 0.2)).toBeLessThan(0.27);
    }
  });

  it('is as often wide as high, and its aspect ratio is nearly log-uniform', () => {
    const logs = windowsOf(4000, 0.3, { height: 224, width: 224 }).map(({ height, width }) => Math.log(width / height));
    const quarter = Math.log(4 / 3) / 2;
    const counts = [-2, -1, 0, 1].map(
      (from) => logs.filter((log) => log >= from * quarter && log < (from + 1) * quarter).length,
    );
    // Extreme ratios are rejected more often at large areas. Opposite ratios are equally probable: 1000 each, with a
    // standard deviation of 27 or less.
    expect(Math.abs(counts[0] - counts[3])).toBeLessThan(220);
    expect(Math.abs(counts[1] - counts[2])).toBeLessThan(220);
    expect(Math.min(...counts)).toBeGreaterThan(600);
  });

  it('is the whole image if it has to be, or its center with an aspect ratio of at most 4/3', () => {
    expect(windowsOf(1, 1)[0]).toEqual({ top: 0, left: 0, height: 32, width: 32 });
    expect(windowsOf(1, 1, { height: 30, width: 90 })[0]).toEqual({ top: 0, left: 25, height: 30, width: 40 });
    expect(windowsOf(1, 1, { height: 90, width: 30 })[0]).toEqual({ top: 25, left: 0, height: 40, width: 30 });
  });
});

describe('a resized window', () => {
  it('is the image itself if the window is the whole image', () => {
    const planes = randomPlanes(3072);
    const out = new Uint8Array(3072);
    resizeWindow(planes, { top: 0, left: 0, height: 32, width: 32 }, false, size, out);
    expect(out).toEqual(planes);
  });

  it.each([
    { channels: 3, size },
    { channels: 1, size },
    { channels: 3, size: { height: 9, width: 224 } },
  ])('has the bytes of a float64 implementation: %j', ({ channels, size: imageSize }) => {
    const { height, width } = imageSize;
    const pixels = height * width;
    const planes = randomPlanes(channels * pixels);
    const out = new Uint8Array(planes.length);
    for (const window of windowsOf(20, 0.05, imageSize)) {
      resizeWindow(planes, window, false, imageSize, out);
      let wrong = 0;
      for (let i = 0; i < out.length; i++) {
        const pixel = i % pixels;
        const plane = planes.subarray(i - pixel, i - pixel + pixels);
        const exact = bilinear(plane, window, Math.floor(pixel / width), pixel % width, imageSize);
        // Where the exact value is a half, float64 may round in either direction.
        if (Math.abs(out[i] - exact) > 0.5 + 1e-9) wrong++;
      }
      expect(wrong).toBe(0);
    }
  });

  it('is mirrored if flipped', () => {
    const planes = randomPlanes(1024);
    const window = { top: 3, left: 7, height: 20, width: 15 };
    const [plain, flipped] = [false, true].map((isFlipped) => {
      const out = new Uint8Array(1024);
      resizeWindow(planes, window, isFlipped, size, out);
      return out;
    });
    for (let row = 0; row < 1024; row += 32) {
      expect(flipped.subarray(row, row + 32)).toEqual(plain.subarray(row, row + 32).toReversed());
    }
  });

  it('has the same bytes on every machine', () => {
    const planes = randomPlanes(3072);
    const out = new Uint8Array(3072);
    const hash = createHash('sha256');
    for (const window of windowsOf(50, 0.08)) {
      resizeWindow(planes, window, false, size, out);
      hash.update(out);
    }
    expect(hash.digest('hex')).toBe('d873a7431394787702f5e4cb62696755a78694c102b6a1e88bdc6947609c493c');
  });
});
