// Creates the input of the network: flips, pads, crops and preprocesses records in one pass.
import { imageAt, rowBytesOf } from './tensor';

const size: i32 = 32;
const channels: i32 = 4;
const planePixels: i32 = size * size;
const recordBytes: i32 = 1 + 3 * planePixels;
const cropMargin: i32 = 4;

/** Maps a row or column into the image by reflection: -n becomes n, 31 + n becomes 31 - n, others stay the same. */
function reflectedIndex(index: i32): i32 {
  return size - 1 - abs(size - 1 - abs(index));
}

/**
 * @param records one CIFAR-10 record per image
 * @param augmentations one bit field per image: left edge of the crop (bits 0 to 3), top edge (bits 4 to 7), flip
 *   (bit 8), reflected padding (bit 9)
 * @param values table of the input value for each byte value of red, green and blue: 3 × 256 float32
 * @param target tensor with 4 channels: blue, green, red, and one that stays 0
 */
export function fillImages(
  records: usize,
  augmentations: usize,
  values: usize,
  target: usize,
  first: i32,
  count: i32,
): void {
  for (let image = first; image < first + count; image++) {
    const augmentation = <i32>load<u16>(augmentations + 2 * image);
    const left = (augmentation & 15) - cropMargin;
    const top = ((augmentation >> 4) & 15) - cropMargin;
    const flipped = (augmentation & 256) != 0;
    const reflected = (augmentation & 512) != 0;
    const record = records + image * recordBytes + 1;
    let row = imageAt(target, image, size, channels);
    for (let y = 0; y < size; y++) {
      const fromY = reflected ? reflectedIndex(y + top) : y + top;
      const rowIsInside = <u32>fromY < <u32>size;
      let pixel = row;
      for (let x = 0; x < size; x++) {
        let fromX = x + left;
        let inside = rowIsInside && <u32>fromX < <u32>size;
        if (!inside && reflected) {
          fromX = reflectedIndex(fromX);
          inside = true;
        }
        let red: u32 = 0;
        let green: u32 = 0;
        let blue: u32 = 0;
        if (inside) {
          if (flipped) fromX = size - 1 - fromX;
          const at = record + fromY * size + fromX;
          red = load<u8>(at);
          green = load<u8>(at, planePixels);
          blue = load<u8>(at, 2 * planePixels);
        }
        store<f32>(pixel, load<f32>(values + 4 * blue, 2048));
        store<f32>(pixel, load<f32>(values + 4 * green, 1024), 4);
        store<f32>(pixel, load<f32>(values + 4 * red), 8);
        pixel += 4 * channels;
      }
      row += rowBytesOf(size, channels);
    }
  }
}

/**
 * Replaces each value by (value - mean) / divisor, with a mean for each pixel. Requires that fillImages has stored the
 * byte values unchanged.
 * @param means 32 × 32 × 4 float32, with the channels in the same order as in the target; the fourth channel is 0
 * @param divisors 4 float32, in the same order; the fourth is 1
 */
export function centerImages(target: usize, means: usize, divisors: usize, first: i32, count: i32): void {
  const divisor = v128.load(divisors);
  for (let image = first; image < first + count; image++) {
    let row = imageAt(target, image, size, channels);
    let mean = means;
    for (let y = 0; y < size; y++) {
      let pixel = row;
      for (let x = 0; x < size; x++) {
        v128.store(pixel, f32x4.div(f32x4.sub(v128.load(pixel), v128.load(mean)), divisor));
        pixel += 4 * channels;
        mean += 4 * channels;
      }
      row += rowBytesOf(size, channels);
    }
  }
}
