// Tensors in a model's memory, and their address arithmetic. Pure.

/** Bytes reserved at the beginning of the memory for the control words that synchronize the threads. */
export const controlBytes = 256;
const floatBytes = 4;
/** Approximate number of pixels in a block of images: small enough that the next stage finds the block in the cache. */
const blockPixels = 1024;

/** Shape of a tensor's images and their layout in memory. A vector is an image of one pixel without a border. */
export interface Form {
  height: number;
  width: number;
  channels: number;
  /** Number of channels in memory: a multiple of 4. The additional channels are 0. */
  depth: number;
  /** Width of the border of zeros around each image. */
  border: number;
  /**
   * Tensors whose pattern differs do not share memory: some of their elements are never written, so that they stay 0.
   * Omitted if all elements are written.
   */
  pattern?: string;
}

/** Values of all images. It has memory from the first to the last pass that uses it. */
export class Tensor {
  readonly form: Form;
  /** Address of image 0, or the offset in the private memory of a thread. */
  address = 0;
  /**
   * Whether only one pass uses the tensor. Each thread then holds one block of images at a time, in private memory that
   * is small enough for the cache.
   */
  isPrivate = false;
  /** Whether the tensor has memory of its own, because something outside of the passes uses it. */
  isKept = false;
  /** Indices of the first and the last pass that use the tensor. */
  first = Infinity;
  last = -1;

  constructor(form: Form) {
    this.form = form;
  }
}

/** Addresses of a thread's private memory. */
export interface ThreadMemory {
  scratch: number;
  /** Address of the blocks of private tensors. */
  blocks: number;
}

/** Allocates memory from low to high addresses, aligned to cache lines. */
export class Allocator {
  constructor(public next: number) {}

  take(bytes: number): number {
    const address = this.next;
    this.next = alignToCacheLine(address + bytes);
    return address;
  }

  takeFloats(count: number): number {
    return this.take(floatBytes * count);
  }
}

export function alignToCacheLine(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}

/** Returns the number of channels in memory. */
export function depthOf(channels: number): number {
  return 4 * Math.ceil(channels / 4);
}

/** Returns the form of a value of this shape: [height, width, channels] with a border, or [n]. */
export function formOf(shape: readonly number[], border = 1): Form {
  if (shape.length === 1) {
    return { height: 1, width: 1, channels: shape[0], depth: depthOf(shape[0]), border: 0 };
  }
  const [height, width, channels] = shape;
  return { height, width, channels, depth: depthOf(channels), border };
}

export function sameForm(a: Form, b: Form): boolean {
  return formKey(a) === formKey(b);
}

/** Returns a key that is equal for tensors that can have the same memory one after the other. */
export function formKey({ height, width, channels, border, pattern = '' }: Form): string {
  return `${height} ${width} ${channels} ${border} ${pattern}`;
}

export function pixelBytes({ depth }: Form): number {
  return depth * floatBytes;
}

export function rowBytes(form: Form): number {
  return (form.width + 2 * form.border) * pixelBytes(form);
}

export function imageBytes(form: Form): number {
  return (form.height + 2 * form.border) * rowBytes(form);
}

/** Returns the byte offset of pixel (row, column) from pixel (0, 0) in an image. */
export function pixelOffset(form: Form, row: number, column: number): number {
  return row * rowBytes(form) + column * pixelBytes(form);
}

/**
 * Returns the address of image 0 of a tensor. For a private tensor, this is where image 0 would be if the thread's block
 * were part of a complete tensor.
 */
export function addressOf(
  { form, address, isPrivate }: Tensor,
  firstOfBlock: number,
  { blocks }: ThreadMemory,
): number {
  return isPrivate ? blocks + address - firstOfBlock * imageBytes(form) : address;
}

/** Returns the address of the upper-left pixel, inside the border, of image 0. */
export function originOf(tensor: Tensor, firstOfBlock: number, memory: ThreadMemory): number {
  const { border } = tensor.form;
  return addressOf(tensor, firstOfBlock, memory) + pixelOffset(tensor.form, border, border);
}

/** Returns the number of images in a block. @param pixels number of pixels of an image */
export function imagesPerBlock(pixels: number): number {
  return Math.ceil(blockPixels / pixels);
}
