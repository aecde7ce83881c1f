// PNG and JPEG files as rows of red, green, blue bytes, upright; anything else is named for what it is.
import readExif from 'exif-reader';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { LockstepError, messageOf } from '../../shared/errors.js';

/** Rows of pixels, three bytes each: red, green, blue. */
export interface Picture {
  width: number;
  height: number;
  pixels: Uint8Array;
}

/** Above what cameras of today give. A file may claim more in a few bytes, and would have us allocate it. */
const maxPixels = 64_000_000;
/** What decoding that many may take. */
const maxDecoderMegabytes = 2048;

/**
 * Decodes a file. What a PNG leaves transparent is white; a JPEG is turned upright as its camera noted.
 * @param source the file's name, for error messages
 * Throws `bad-data` for what is no PNG or JPEG, is damaged, or has more than maxPixels pixels.
 */
export function decodeImage(file: Uint8Array, source: string): Picture {
  const kind = kindOf(file);
  try {
    switch (kind) {
      case 'PNG':
        return decodePng(file, source);
      case 'JPEG':
        return decodeJpeg(file, source);
      default:
        throw new LockstepError('bad-data', `${source} is ${kind}: PNG and JPEG are read; convert it to one of them`);
    }
  } catch (cause) {
    if (cause instanceof LockstepError) throw cause;
    throw new LockstepError(
      'bad-data',
      `${source} is a damaged ${kind} file (${messageOf(cause)}): save or download it again`,
      { cause },
    );
  }
}

/** Kinds of files by how they begin; a dot is any byte. */
const beginnings: readonly [RegExp, string][] = [
  [/^\x89PNG\r\n/, 'PNG'],
  [/^\xff\xd8\xff/, 'JPEG'],
  [/^GIF8[79]a/, 'a GIF image'],
  [/^RIFF....WEBP/s, 'a WebP image'],
  [/^BM/, 'a BMP image'],
  [/^(?:II\*\0|MM\0\*)/, 'a TIFF image'],
  [/^....ftyp(?:hei|hev|mif)/s, 'a HEIC image'],
  [/^....ftypavi/s, 'an AVIF image'],
  [/^%PDF/, 'a PDF document'],
  [/^\s*(?:<\?xml|<svg)/, 'an SVG image or other XML'],
];

function kindOf(file: Uint8Array): string {
  if (file.length === 0) return 'an empty file';
  const beginning = Buffer.from(file.subarray(0, 64)).toString('latin1');
  return beginnings.find(([pattern]) => pattern.test(beginning))?.[1] ?? 'no image';
}

function decodePng(file: Uint8Array, source: string): Picture {
  // The header chunk comes first: its length and name, then width and height.
  if (file.length < 24) throw new Error('it ends in its header');
  const view = new DataView(file.buffer, file.byteOffset);
  assertSize(view.getUint32(16), view.getUint32(20), source);
  const { width, height, data } = PNG.sync.read(Buffer.from(file));
  return { width, height, pixels: onWhite(data, width * height) };
}

function decodeJpeg(file: Uint8Array, source: string): Picture {
  const { width, height, exif } = jpegHeader(file);
  assertSize(width, height, source);
  const decoded = jpeg.decode(file, {
    useTArray: true,
    formatAsRGBA: false,
    tolerantDecoding: false,
    maxResolutionInMP: maxPixels / 1e6,
    maxMemoryUsageInMB: maxDecoderMegabytes,
  });
  const picture = { width: decoded.width, height: decoded.height, pixels: decoded.data };
  return applyExifOrientation(picture, orientationIn(exif));
}

/** Width and height, before anything is allocated for them, and the camera's notes. */
function jpegHeader(file: Uint8Array): { width: number; height: number; exif: Uint8Array | undefined } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let exif: Uint8Array | undefined;
  let at = 2;
  while (at + 9 <= file.length) {
    if (view.getUint8(at) !== 0xff) throw new Error('a marker is missing');
    const marker = view.getUint8(at + 1);
    // Start of frame, but for the three of these numbers that define tables.
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return { height: view.getUint16(at + 5), width: view.getUint16(at + 7), exif };
    // Any number of 0xff may fill the space before a marker; else a segment's length follows it.
    const next = marker === 0xff ? at + 1 : at + 2 + view.getUint16(at + 2);
    if (marker === 0xe1) exif ??= file.subarray(at + 4, next);
    at = next;
  }
  throw new Error('it ends before its size is said');
}

function assertSize(width: number, height: number, source: string): void {
  if (width === 0 || height === 0) throw new Error(`it is ${width}×${height} pixels`);
  if (width * height <= maxPixels) return;
  throw new LockstepError(
    'bad-data',
    `${source} is ${width}×${height} pixels: at most ${maxPixels / 1e6} million are read; make it smaller first`,
  );
}

/** Red, green, blue, opacity to red, green, blue before white. */
function onWhite(rgba: Uint8Array, pixelCount: number): Uint8Array {
  const pixels = new Uint8Array(3 * pixelCount);
  for (let pixel = 0; pixel < pixelCount; pixel++) {
    const opacity = rgba[4 * pixel + 3] / 255;
    for (let channel = 0; channel < 3; channel++) {
      pixels[3 * pixel + channel] = Math.round(rgba[4 * pixel + channel] * opacity + 255 * (1 - opacity));
    }
  }
  return pixels;
}

/** 1 to 8, as in EXIF; 1, which is upright, where nothing is said that can be understood. */
function orientationIn(exif: Uint8Array | undefined): number {
  if (exif === undefined) return 1;
  let said: unknown;
  try {
    said = readExif(Buffer.from(exif)).Image?.Orientation;
  } catch {
    // Notes of a camera that cannot be read do not spoil its picture.
    return 1;
  }
  return typeof said === 'number' && said >= 1 && said <= 8 ? said : 1;
}

/**
 * Where the upright picture's pixel comes from, per orientation: whether rows and columns are exchanged, and which of
 * the stored picture's axes then run backwards.
 */
const turns: Record<number, { exchanged: boolean; fromRight: boolean; fromBottom: boolean }> = {
  2: { exchanged: false, fromRight: true, fromBottom: false },
  3: { exchanged: false, fromRight: true, fromBottom: true },
  4: { exchanged: false, fromRight: false, fromBottom: true },
  5: { exchanged: true, fromRight: false, fromBottom: false },
  6: { exchanged: true, fromRight: false, fromBottom: true },
  7: { exchanged: true, fromRight: true, fromBottom: true },
  8: { exchanged: true, fromRight: true, fromBottom: false },
};

/** @param orientation 1 to 8: where the stored picture's first row and column are in the upright one */
export function applyExifOrientation(stored: Picture, orientation: number): Picture {
  const turn = turns[orientation];
  if (turn === undefined) return stored;
  const { exchanged, fromRight, fromBottom } = turn;
  const width = exchanged ? stored.height : stored.width;
  const height = exchanged ? stored.width : stored.height;
  const pixels = new Uint8Array(stored.pixels.length);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      let x = exchanged ? row : column;
      let y = exchanged ? column : row;
      if (fromRight) x = stored.width - 1 - x;
      if (fromBottom) y = stored.height - 1 - y;
      const from = 3 * (y * stored.width + x);
      pixels.set(stored.pixels.subarray(from, from + 3), 3 * (row * width + column));
    }
  }
  return { width, height, pixels };
}
