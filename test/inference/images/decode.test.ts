import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { describe, expect, it } from 'vitest';
import { decodeImage, applyExifOrientation, type Image } from '../../../inference/images/decode.js';

/** @param rgba red, green, blue and alpha of each pixel */
function png(width: number, height: number, rgba: readonly number[]): Buffer {
  const image = new PNG({ width, height });
  image.data = Buffer.from(rgba);
  return PNG.sync.write(image);
}

/** Returns a JPEG whose left half is red and whose right half is blue. */
function redAndBlueJpeg(width: number, height: number): Buffer {
  const data = Buffer.alloc(4 * width * height);
  for (let i = 0; i < width * height; i++) data.set(i % width < width / 2 ? [255, 0, 0, 255] : [0, 0, 255, 255], 4 * i);
  return jpeg.encode({ width, height, data }, 95).data;
}

/** Inserts an EXIF orientation after the first marker of a JPEG. */
function withOrientation(file: Buffer, orientation: number): Buffer {
  const tiff = Buffer.alloc(26);
  tiff.write('MM\0*', 0, 'latin1');
  tiff.writeUInt32BE(8, 4); // offset of the first directory
  tiff.writeUInt16BE(1, 8); // which has one entry:
  tiff.writeUInt16BE(0x0112, 10); // the orientation,
  tiff.writeUInt16BE(3, 12); // a 16-bit integer,
  tiff.writeUInt32BE(1, 14); // with one value
  tiff.writeUInt16BE(orientation, 18);
  const segment = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), tiff]);
  const head = Buffer.from([0xff, 0xe1, 0, segment.length + 2]);
  return Buffer.concat([file.subarray(0, 2), head, segment, file.subarray(2)]);
}

function pixelAt({ width, pixels }: Image, row: number, column: number): number[] {
  return [...pixels.subarray(3 * (row * width + column), 3 * (row * width + column) + 3)];
}

describe('decodeImage, for a PNG,', () => {
  it('returns its pixels', () => {
    const file = png(2, 1, [1, 2, 3, 255, 40, 50, 60, 255]);
    expect(decodeImage(file, 'a.png')).toEqual({ width: 2, height: 1, pixels: Uint8Array.of(1, 2, 3, 40, 50, 60) });
  });

  it('blends transparent pixels with white', () => {
    // An alpha of 51/255 is 0.2: 0.2 × 100 + 0.8 × 255 = 224.
    const file = png(2, 1, [9, 9, 9, 0, 100, 100, 100, 51]);
    expect(decodeImage(file, 'a.png').pixels).toEqual(Uint8Array.of(255, 255, 255, 224, 224, 224));
  });
});

describe('decodeImage, for a JPEG,', () => {
  it('returns approximately its pixels', () => {
    const image = decodeImage(redAndBlueJpeg(32, 16), 'a.jpg');
    expect(image).toMatchObject({ width: 32, height: 16 });
    const [red, green, blue] = pixelAt(image, 8, 4);
    expect(red).toBeGreaterThan(245);
    expect(Math.max(green, blue)).toBeLessThan(10);
    expect(pixelAt(image, 8, 28)[2]).toBeGreaterThan(245);
  });

  it('applies the EXIF orientation', () => {
    // Orientation 6: the first column of the stored image, which is red here, becomes the first row of the upright
    // image.
    const image = decodeImage(withOrientation(redAndBlueJpeg(32, 16), 6), 'a.jpg');
    expect(image).toMatchObject({ width: 16, height: 32 });
    expect(pixelAt(image, 2, 8)[0]).toBeGreaterThan(245);
    expect(pixelAt(image, 30, 8)[2]).toBeGreaterThan(245);
  });

  it('ignores an invalid EXIF orientation', () => {
    expect(decodeImage(withOrientation(redAndBlueJpeg(32, 16), 77), 'a.jpg')).toMatchObject({
      width: 32,
      height: 16,
    });
  });
});

describe('applyExifOrientation', () => {
  // Each letter stands for the red byte of a pixel. The stored rows are ab, cd and ef.
  const stored: Image = {
    width: 2,
    height: 3,
    pixels: Uint8Array.from(Array.from('abcdef').flatMap((c) => [c.charCodeAt(0), 0, 0])),
  };

  // Each comment names two sides of the upright image, as in the EXIF standard: the side at which the first stored row
  // appears, and the side at which the first stored column appears.
  it.each([
    [1, 'ab/cd/ef'], // top, left
    [2, 'ba/dc/fe'], // top, right
    [3, 'fe/dc/ba'], // bottom, right
    [4, 'ef/cd/ab'], // bottom, left
    [5, 'ace/bdf'], // left, top
    [6, 'eca/fdb'], // right, top
    [7, 'fdb/eca'], // right, bottom
    [8, 'bdf/ace'], // left, bottom
  ])('handles orientation %i', (orientation, expected) => {
    const { width, height, pixels } = applyExifOrientation(stored, orientation);
    const letters = Array.from({ length: width * height }, (_, i) => String.fromCharCode(pixels[3 * i])).join('');
    const rows = Array.from({ length: height }, (_, row) => letters.slice(row * width, (row + 1) * width));
    expect(rows.join('/')).toBe(expected);
  });
});

describe('decodeImage rejects', () => {
  const bytes = (text: string) => Buffer.from(text, 'latin1');

  it.each([
    ['cat.gif', 'a GIF image', bytes('GIF89a......')],
    ['cat.webp', 'a WebP image', bytes('RIFF\x0a\0\0\0WEBPVP8 ')],
    ['cat.heic', 'a HEIC image', bytes('\0\0\0\x18ftypheic')],
    ['cat.png', 'a PDF document', bytes('%PDF-1.7')],
    ['cat.svg', 'an SVG image or other XML', bytes('<svg xmlns="…">')],
    ['cat.jpg', 'an empty file', bytes('')],
    ['cat.txt', 'not an image', bytes('a cat sat on a mat')],
  ])('%s, as %s', (name, what, file) => {
    expect(() => decodeImage(file, name)).toThrow(
      expect.objectContaining({
        code: 'bad-data',
        message: `${name} is ${what}: it must be a PNG or JPEG file`,
      }),
    );
  });

  it.each([
    ['a PNG that is truncated in its pixels', 'PNG', png(8, 8, Array<number>(256).fill(7)).subarray(0, 50)],
    ['a PNG that is truncated in its header', 'PNG', png(8, 8, Array<number>(256).fill(7)).subarray(0, 20)],
    ['a JPEG that is truncated before its size', 'JPEG', redAndBlueJpeg(8, 8).subarray(0, 40)],
    ['a JPEG that is truncated in its pixels', 'JPEG', redAndBlueJpeg(64, 64).subarray(0, -200)],
    ['a JPEG with only a first marker', 'JPEG', bytes('\xff\xd8\xff\xe0')],
  ])('%s', (_, kind, file) => {
    expect(() => decodeImage(file, 'cat')).toThrow(
      expect.objectContaining({
        code: 'bad-data',
        message: expect.stringMatching(`^cat is a damaged ${kind} file \\(.+\\): save`) as string,
      }),
    );
  });

  it('a file that claims too many pixels, before allocating memory for them', () => {
    const file = png(1, 1, [0, 0, 0, 255]);
    file.writeUInt32BE(50_000, 16);
    file.writeUInt32BE(40_000, 20);
    expect(() => decodeImage(file, 'bomb.png')).toThrow(
      'bomb.png has 50000×40000 pixels: it must have at most 64 million',
    );
    const photo = redAndBlueJpeg(8, 8);
    const frame = photo.indexOf(Buffer.from([0xff, 0xc0]));
    photo.writeUInt16BE(65_000, frame + 5);
    photo.writeUInt16BE(65_000, frame + 7);
    expect(() => decodeImage(photo, 'bomb.jpg')).toThrow('bomb.jpg has 65000×65000 pixels');
  });
});
