// Address arithmetic of tensors.

/** Bytes of an image with its border. */
export function imageBytesOf(size: i32, channels: i32): i32 {
  return (size + 2) * (size + 2) * channels * 4;
}

/** Bytes of a row with its border. */
export function rowBytesOf(size: i32, channels: i32): i32 {
  return (size + 2) * channels * 4;
}

/** Address of an image's upper left pixel, inside the border. */
export function imageAt(tensor: usize, image: i32, size: i32, channels: i32): usize {
  return tensor + image * imageBytesOf(size, channels) + (size + 3) * channels * 4;
}
