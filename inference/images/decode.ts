// Decodes PNG and JPEG files to upright images with red, green and blue bytes. For files of other types, the error
// names the detected type.
import readExif from 'exif-reader';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { LockstepError, messageOf } from '../../shared/errors.js';

export interface Image {
  width: number;
  height: number;
  /** Pixels row by row, three bytes each: red, green, blue. */
  pixels: Uint8Array;
}

/**
 * Maximum number of pixels, more than most cameras produce. Without a limit, a tiny file that claims a huge size would
 * cause a huge allocation.
 */
const maxPixels = 64_000_000;
/** Memory limit of the JPEG decoder, enough for maxPixels. */
const maxDecoderMegabytes = 2048;

/**
 * Decodes an image. Blends transparent pixels of a PNG with white, and applies the EXIF orientation of a JPEG.
 * Throws `bad-data` for a file that is not a PNG or JPEG, is damaged, or has more than maxPixels pixels.
 * @param source file name, for error messages
 */
export function decodeImage(file: Uint8Array, source: string): Image {
  const kind = kindOf(file);
  try {
    switch (kind) {
      case 'PNG':
        return decodePng(file, source);
      case 'JPEG':
        return decodeJpeg(file, source);
      default:
        throw new LockstepError('bad-data', `${source} is ${kind}: it must be a PNG or JPEG file`);
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

/** File types by their first bytes; a dot matches any byte. */
const signatures: readonly [RegExp, string][] = [
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
  const firstBytes = Buffer.from(file.subarray(0, 64)).toString('latin1');
  return signatures.find(([pattern]) => pattern.test(firstBytes))?.[1] ?? 'not an image';
}

function decodePng(file: Uint8Array, source: string): Image {
  // After the 8-byte signature, the first chunk is the header: length and name (8 bytes), then width and height.
  if (file.length < 24) throw new Error('its header is truncated');
  const view = new DataView(file.buffer, file.byteOffset);
  assertSize(view.getUint32(16), view.getUint32(20), source);
  const { width, height, data } = PNG.sync.read(Buffer.from(file));
  return { width, height, pixels: blendWithWhite(data, width * height) };
}

function decodeJpeg(file: Uint8Array, source: string): Image {
  const { width, height, exif } = jpegHeader(file);
  assertSize(width, height, source);
  const decoded = jpeg.decode(file, {
    useTArray: true,
    formatAsRGBA: false,
    tolerantDecoding: false,
    maxResolutionInMP: maxPixels / 1e6,
    maxMemoryUsageInMB: maxDecoderMegabytes,
  });
  const image = { width: decoded.width, height: decoded.height, pixels: decoded.data };
  return applyExifOrientation(image, orientationIn(exif));
}

/** Reads the size and the EXIF data without decoding the image, so that the size can be checked before decoding. */
function jpegHeader(file: Uint8Array): { width: number; height: number; exif: Uint8Array | undefined } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let exif: Uint8Array | undefined;
  let at = 2;
  while (at + 9 <= file.length) {
    if (view.getUint8(at) !== 0xff) throw new Error('a marker is missing');
    const marker = view.getUint8(at + 1);
    // Start-of-frame markers. Three markers in this range have other meanings.
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return { height: view.getUint16(at + 5), width: view.getUint16(at + 7), exif };
    // Any number of 0xff bytes may precede a marker; all other markers are followed by the length of their segment.
    const next = marker === 0xff ? at + 1 : at + 2 + view.getUint16(at + 2);
    if (marker === 0xe1) exif ??= file.subarray(at + 4, next);
    at = next;
  }
  throw new Error('it ends before the image size');
}

function assertSize(width: number, height: number, source: string): void {
  if (width === 0 || height === 0) throw new Error(`its size is ${width}×${height} pixels`);
  if (width * height <= maxPixels) return;
  throw new LockstepError(
    'bad-data',
    `${source} has ${width}×${height} pixels: it must have at most ${maxPixels / 1e6} million`,
  );
}

/** Converts RGBA to RGB on a white background. */
function blendWithWhite(rgba: Uint8Array, pixelCount: number): Uint8Array {
  const pixels = new Uint8Array(3 * pixelCount);
  for (let pixel = 0; pixel < pixelCount; pixel++) {
    const opacity = rgba[4 * pixel + 3] / 255;
    for (let channel = 0; channel < 3; channel++) {
      pixels[3 * pixel + channel] = Math.round(rgba[4 * pixel + channel] * opacity + 255 * (1 - opacity));
    }
  }
  return pixels;
}

/** Returns the EXIF orientation, 1 to 8; 1 (upright) if it is missing or invalid. */
function orientationIn(exif: Uint8Array | undefined): number {
  if (exif === undefined) return 1;
  try {
    const orientation: unknown = readExif(Buffer.from(exif)).Image?.Orientation;
    return typeof orientation === 'number' && orientation >= 1 && orientation <= 8 ? orientation : 1;
  } catch {
    // Damaged EXIF data does not prevent decoding the image.
    return 1;
  }
}

/** Transforms by EXIF orientation: whether rows and columns are transposed, and which axes are reversed. */
const orientations: Record<number, { transposed: boolean; fromRight: boolean; fromBottom: boolean }> = {
  2: { transposed: false, fromRight: true, fromBottom: false },
  3: { transposed: false, fromRight: true, fromBottom: true },
  4: { transposed: false, fromRight: false, fromBottom: true },
  5: { transposed: true, fromRight: false, fromBottom: false },
  6: { transposed: true, fromRight: false, fromBottom: true },
  7: { transposed: true, fromRight: true, fromBottom: true },
  8: { transposed: true, fromRight: true, fromBottom: false },
};

/** Returns the upright image. @param orientation EXIF orientation of the stored image, 1 to 8 */
export function applyExifOrientation(stored: Image, orientation: number): Image {
  const transform = orientations[orientation];
  if (transform === undefined) return stored;
  const { transposed, fromRight, fromBottom } = transform;
  const width = transposed ? stored.height : stored.width;
  const height = transposed ? stored.width : stored.height;
  const pixels = new Uint8Array(stored.pixels.length);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      let x = transposed ? row : column;
      let y = transposed ? column : row;
      if (fromRight) x = stored.width - 1 - x;
      if (fromBottom) y = stored.height - 1 - y;
      const from = 3 * (y * stored.width + x);
      pixels.set(stored.pixels.subarray(from, from + 3), 3 * (row * width + column));
    }
  }
  return { width, height, pixels };
}
