// How kernels receive tensors: addresses of a block of images, and the layout of the images.
import type { Grid, Strides } from '../kernels.js';
import {
  addressOf,
  imageBytes,
  originOf,
  pixelBytes,
  rowBytes,
  type Form,
  type Tensor,
  type ThreadMemory,
} from '../memory/tensor.js';
import type { ImageBlock } from '../passes/pass.js';

/** Returns the address of image 0, including its border. */
export function startOf(tensor: Tensor, { first }: ImageBlock, memory: ThreadMemory): number {
  return addressOf(tensor, first, memory);
}

/** Returns the address of pixel (0, 0) of image 0. */
export function originIn(tensor: Tensor, { first }: ImageBlock, memory: ThreadMemory): number {
  return originOf(tensor, first, memory);
}

/** Returns the layout of images and the range of a block. */
export function gridOf(form: Form, { first, count }: ImageBlock): Grid {
  return [imageBytes(form), rowBytes(form), form.height, form.width, form.depth, first, count];
}

interface Selection {
  /** Distance between rows and between columns; 1 by default. */
  strides?: readonly [number, number];
  row?: number;
  column?: number;
  channel?: number;
}

/** Returns the strides for visiting the pixels of a tensor, from pixel (row, column). */
export function stridesOf(
  tensor: Tensor,
  block: ImageBlock,
  memory: ThreadMemory,
  { strides: [vertical, horizontal] = [1, 1], row = 0, column = 0, channel = 0 }: Selection = {},
): Strides {
  const { form } = tensor;
  const [rows, pixels] = [rowBytes(form), pixelBytes(form)];
  const start = originIn(tensor, block, memory) + row * rows + column * pixels + 4 * channel;
  return [start, imageBytes(form), vertical * rows, horizontal * pixels];
}
