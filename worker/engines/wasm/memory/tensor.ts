// Tensors in a model's memory and the arithmetic of their addresses. Pure.

const floatBytes = 4;
/** Pixels of a block of images, approximately. What one stage leaves of a block, the next one finds in the cache. */
const blockPixels = 1024;

/** Images with a border of zeros, one pixel wide: see assembly/index.ts. */
export interface Tensor {
  address: number;
  /** Height and width without the border. */
  size: number;
  channels: number;
}

/**
 * A tensor that a pass writes and reads again block by block. Each thread holds one block of it at a time, in memory of
 * its own that stays in the cache.
 */
export interface ThreadTensor {
  of: 'gradients' | 'activations';
  /** 0 to 2. */
  group: number;
  size: number;
  channels: number;
}

export type AnyTensor = Tensor | ThreadTensor;

/** Memory of one thread. */
export interface ThreadMemory {
  scratch: number;
  /** Addresses of the blocks of thread tensors, one for each group of layers. */
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

/** Bytes from an image's pixel (0, 0) to its pixel (row, column). */
export function pixelOffset(size: number, channels: number, row: number, column: number): number {
  return (row * (size + 2) + column) * channels * floatBytes;
}

/** Address of the upper left pixel of the image at this address, inside the border. */
export function firstPixel(address: number, { size, channels }: AnyTensor): number {
  return address + pixelOffset(size, channels, 1, 1);
}

/** The address that image 0 of a tensor has, or would have if the thread's block of it were part of a whole tensor. */
export function addressOf(tensor: AnyTensor, firstOfBlock: number, memory: ThreadMemory): number {
  if ('address' in tensor) return tensor.address;
  const { of, group, size, channels } = tensor;
  return memory[of][group] - firstOfBlock * imageBytes(size, channels);
}

/** Images in a block of a tensor of this size. */
export function imagesPerBlock(size: number): number {
  return Math.ceil(blockPixels / size ** 2);
}

function imageBytes(size: number, channels: number): number {
  return (size + 2) ** 2 * channels * floatBytes;
}
