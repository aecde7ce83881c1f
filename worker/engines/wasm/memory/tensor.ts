// Tensors in a model's memory, and their address arithmetic. Pure.

const floatBytes = 4;
/** Approximate number of pixels in a block of images: small enough that the next stage finds the block in the cache. */
const blockPixels = 1024;

/** Images with a one-pixel border of zeros: see assembly/index.ts. */
export interface Tensor {
  address: number;
  /** Height and width without the border. */
  size: number;
  channels: number;
}

/**
 * An intermediate tensor that a pass writes and reads again block by block. Each thread holds one block at a time, in
 * private memory that is small enough for the cache.
 */
export interface ThreadTensor {
  of: 'gradients' | 'activations';
  /** Index of the layer group, 0 to 2. */
  group: number;
  size: number;
  channels: number;
}

export type AnyTensor = Tensor | ThreadTensor;

/** Addresses of a thread's private memory. */
export interface ThreadMemory {
  scratch: number;
  /** Addresses of the blocks of thread tensors, one for each layer group. */
  gradients: readonly number[];
  activations: readonly number[];
}

/** Allocates memory from low to high addresses, aligned to cache lines. */
export class Allocator {
  constructor(public next: number) {}

  take(bytes: number): number {
    const address = this.next;
    this.next = Math.ceil((address + bytes) / 64) * 64;
    return address;
  }

  takeFloats(count: number): number {
    return this.take(floatBytes * count);
  }

  tensor(images: number, size: number, channels: number): Tensor {
    return { address: this.take(images * imageBytes(size, channels)), size, channels };
  }
}

/** Returns the byte offset of pixel (row, column) from pixel (0, 0) in an image. */
export function pixelOffset(size: number, channels: number, row: number, column: number): number {
  return (row * (size + 2) + column) * channels * floatBytes;
}

/** Returns the address of the upper-left pixel, inside the border, of the image at this address. */
export function firstPixel(address: number, { size, channels }: AnyTensor): number {
  return address + pixelOffset(size, channels, 1, 1);
}

/**
 * Returns the address of image 0 of a tensor. For a thread tensor, this is where image 0 would be if the thread's block
 * were part of a complete tensor.
 */
export function addressOf(tensor: AnyTensor, firstOfBlock: number, memory: ThreadMemory): number {
  if ('address' in tensor) return tensor.address;
  const { of, group, size, channels } = tensor;
  return memory[of][group] - firstOfBlock * imageBytes(size, channels);
}

/** Returns the number of images in a block. @param size height and width of the tensor's images */
export function imagesPerBlock(size: number): number {
  return Math.ceil(blockPixels / size ** 2);
}

function imageBytes(size: number, channels: number): number {
  return (size + 2) ** 2 * channels * floatBytes;
}
