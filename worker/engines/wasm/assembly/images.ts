// Creates the input of the network: flips, pads, crops and preprocesses records in one pass.
import { rowBytesOf } from './tensor';

const targetChannels: i32 = 4;

/**
 * Returns how far the crop is shifted, from -15 to 15, given its corner modulo 32. A corner of 4 leaves the image in
 * place (see packAugmentation).
 */
function shiftOf(corner: i32): i32 {
  return ((corner + 11) & 31) - 15;
}

/** Returns the address of the upper-left pixel of an image, inside the border. */
function imageAt(target: usize, image: i32, height: i32, width: i32): usize {
  const rowBytes = rowBytesOf(width, targetChannels);
  return target + (image * (height + 2) + 1) * rowBytes + 4 * targetChannels;
}

/** Maps a row or column into the image by reflection: -n becomes n, last + n becomes last - n, others stay the same. */
function reflectedIndex(index: i32, extent: i32): i32 {
  return extent - 1 - abs(extent - 1 - abs(index));
}

/**
 * @param records one record per image
 * @param labelBytes size of a record's label, which precedes its planes
 * @param colors number of planes: 3 for red, green and blue, or 1 for gray
 * @param augmentations one bit field per image: left edge of the crop (bits 0 to 3 and 10), top edge (bits 4 to 7 and
 *   11), flip (bit 8), reflected padding (bit 9)
 * @param values table of the input value for each byte value of each color: colors × 256 float32
 * @param redFirst order of the target's channels
 * @param target tensor with 4 channels: red, green and blue, or blue, green and red, or gray. The others stay 0.
 */
export function fillImages(
  records: usize,
  labelBytes: i32,
  colors: i32,
  augmentations: usize,
  values: usize,
  redFirst: bool,
  target: usize,
  height: i32,
  width: i32,
  first: i32,
  count: i32,
): void {
  const planePixels = height * width;
  const redAt: usize = redFirst ? 0 : 8;
  const blueAt: usize = redFirst ? 8 : 0;
  const recordBytes = labelBytes + colors * planePixels;
  for (let image = first; image < first + count; image++) {
    const augmentation = <i32>load<u16>(augmentations + 2 * image);
    const left = shiftOf((augmentation & 15) | ((augmentation >> 6) & 16));
    const top = shiftOf(((augmentation >> 4) & 15) | ((augmentation >> 7) & 16));
    const flipped = (augmentation & 256) != 0;
    const reflected = (augmentation & 512) != 0;
    const record = records + image * recordBytes + labelBytes;
    let row = imageAt(target, image, height, width);
    for (let y = 0; y < height; y++) {
      const fromY = reflected ? reflectedIndex(y + top, height) : y + top;
      const rowIsInside = <u32>fromY < <u32>height;
      let pixel = row;
      for (let x = 0; x < width; x++) {
        let fromX = x + left;
        let inside = rowIsInside && <u32>fromX < <u32>width;
        if (!inside && reflected) {
          fromX = reflectedIndex(fromX, width);
          inside = true;
        }
        if (flipped) fromX = width - 1 - fromX;
        const at = record + fromY * width + fromX;
        if (colors == 1) {
          const gray: u32 = inside ? load<u8>(at) : 0;
          store<f32>(pixel, load<f32>(values + 4 * gray));
        } else {
          let red: u32 = 0;
          let green: u32 = 0;
          let blue: u32 = 0;
          if (inside) {
            red = load<u8>(at);
            green = load<u8>(at + planePixels);
            blue = load<u8>(at + 2 * planePixels);
          }
          store<f32>(pixel + blueAt, load<f32>(values + 4 * blue, 2048));
          store<f32>(pixel, load<f32>(values + 4 * green, 1024), 4);
          store<f32>(pixel + redAt, load<f32>(values + 4 * red));
        }
        pixel += 4 * targetChannels;
      }
      row += rowBytesOf(width, targetChannels);
    }
  }
}

/**
 * Replaces each value by (value - mean) / divisor, with a mean for each pixel. Requires that fillImages has stored the
 * byte values unchanged.
 * @param means height × width × 4 float32, with the channels in the same order as in the target; 0 for other channels
 * @param divisors 4 float32, in the same order; 1 for other channels
 */
export function centerImages(
  target: usize,
  means: usize,
  divisors: usize,
  height: i32,
  width: i32,
  first: i32,
  count: i32,
): void {
  const divisor = v128.load(divisors);
  for (let image = first; image < first + count; image++) {
    let row = imageAt(target, image, height, width);
    let mean = means;
    for (let y = 0; y < height; y++) {
      let pixel = row;
      for (let x = 0; x < width; x++) {
        v128.store(pixel, f32x4.div(f32x4.sub(v128.load(pixel), v128.load(mean)), divisor));
        pixel += 4 * targetChannels;
        mean += 4 * targetChannels;
      }
      row += rowBytesOf(width, targetChannels);
    }
  }
}
