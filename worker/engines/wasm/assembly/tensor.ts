// Address arithmetic of tensors.

/** Returns the size of an image in bytes, including the border. */
export function imageBytesOf(size: i32, channels: i32): i32 {
  return (size + 2) * (size + 2) * channels * 4;
}

/** Returns the size of a row in bytes, including the border. */
export function rowBytesOf(size: i32, channels: i32): i32 {
  return (size + 2) * channels * 4;
}

/** Returns the address of the upper-left pixel of an image, inside the border. */
export function imageAt(tensor: usize, image: i32, size: i32, channels: i32): usize {
  return tensor + image * imageBytesOf(size, channels) + (size + 3) * channels * 4;
}
