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

/** Returns the number of Winograd tiles, 4 × 4 pixels, along an axis. The last may be partly outside of the image. */
export function tilesAlong(extent: i32): i32 {
  return (extent + 3) >> 2;
}

/** Returns the address of a tile's upper-left pixel. Tiles are numbered row by row, then image by image. */
export function tileAt(tensor: usize, tile: i32, rows: i32, columns: i32, channels: i32): usize {
  const across = tilesAlong(columns);
  const ofImage = across * tilesAlong(rows);
  const inImage = tile % ofImage;
  const rowBytes = rowBytesOf(columns, channels);
  const image = tensor + (tile / ofImage) * (rows + 2) * rowBytes + rowBytes + 4 * channels;
  return image + 4 * (inImage / across) * rowBytes + 16 * (inImage % across) * channels;
}

/** Returns the number of rows from the upper edge of a tile to the lower edge of its image. */
export function rowsFrom(tile: i32, rows: i32, columns: i32): i32 {
  const across = tilesAlong(columns);
  return rows - 4 * ((tile / across) % tilesAlong(rows));
}

/** Returns the number of columns from the left edge of a tile to the right edge of its image. */
export function columnsFrom(tile: i32, columns: i32): i32 {
  return columns - 4 * (tile % tilesAlong(columns));
}
