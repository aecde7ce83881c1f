// Decodes an image file and brings it to the size of a dataset. Loads sharp, a native library, which processes that
// decode images run on their own.
import sharp, { type FailOnOptions, type ResizeOptions } from 'sharp';
import type { ImageFit } from '../../shared/dataset/description.js';
import type { DecodedImage, ImageSize } from './import-messages.js';
import { resizeKernel } from './import-rules.js';

/** Versions of the decoder's libraries. */
export const decoder = `sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}`;

/**
 * Maximum number of pixels, more than cameras produce. Without a limit, a tiny file that claims a huge size would cause
 * a huge allocation.
 */
const maxPixels = 268_000_000;
/** Images that take longer to decode are skipped. */
const timeoutSeconds = 60;
/** Truncated and damaged files are refused; files that merely violate their format's rules are not. */
const failOn: FailOnOptions = 'error';

// Only formats of pixels: libvips can also render documents, such as SVG and PDF.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Tiff', 'Heif'].map((format) => `VipsForeignLoad${format}`),
});
// Several processes decode images, one image each.
sharp.concurrency(1);
sharp.cache(false);

/**
 * Decodes the image (its first frame), turns it upright according to its EXIF orientation, blends it with white where
 * it is transparent, converts it to sRGB, and resizes it. Throws an Error with sharp's reason for a file that is not an
 * image or is damaged.
 */
export async function decodeImage(
  file: Uint8Array,
  { height, width }: ImageSize,
  fit: ImageFit,
): Promise<DecodedImage> {
  const resize: ResizeOptions = { fit: fit === 'crop' ? 'cover' : 'fill', kernel: resizeKernel };
  const input = sharp(file, { failOn, limitInputPixels: maxPixels });
  const { autoOrient } = await input.metadata();
  const { data, info } = await input
    .autoOrient()
    .flatten({ background: 'white' })
    .resize(width, height, resize)
    .toColorspace('srgb')
    .timeout({ seconds: timeoutSeconds })
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3 || data.length !== 3 * height * width) {
    throw new Error(`it decodes to ${info.channels} channels`);
  }
  return { planes: planesOf(data), original: { height: autoOrient.height, width: autoOrient.width } };
}

/** Converts pixels of three bytes to three planes. */
function planesOf(pixels: Uint8Array): Uint8Array {
  const count = pixels.length / 3;
  const planes = new Uint8Array(pixels.length);
  for (let pixel = 0; pixel < count; pixel++) {
    for (let channel = 0; channel < 3; channel++) planes[channel * count + pixel] = pixels[3 * pixel + channel];
  }
  return planes;
}
