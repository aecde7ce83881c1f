// What kernels read and write: tensors, which share memory when they are not needed at the same time, and regions of
// buffers that last as long as the model. Pure.

/** Offsets of storage bindings must be multiples of this number of bytes. */
const bindingAlignment = 256;
const alignmentFloats = bindingAlignment / 4;

/** A number that grows with the number of images: ⌈images × perImage / per⌉ × times + plus. */
export class Extent {
  readonly #perImage: number;
  readonly #per: number;
  readonly #times: number;
  readonly #plus: number;

  constructor(perImage: number, { per = 1, times = 1, plus = 0 } = {}) {
    this.#perImage = perImage;
    this.#per = per;
    this.#times = times;
    this.#plus = plus;
  }

  get isConstant(): boolean {
    return this.#perImage === 0;
  }

  at(images: number): number {
    return Math.ceil((images * this.#perImage) / this.#per) * this.#times + this.#plus;
  }

  /** Returns ⌈this / size⌉ × times, for an extent that is a plain multiple of the images, or constant. */
  tiles(size: number, times = 1): Extent {
    if (this.#perImage === 0) return new Extent(0, { plus: Math.ceil(this.#plus / size) * times });
    return new Extent(this.#perImage, { per: size, times });
  }

  /** The same number as a WGSL expression of type u32. */
  get wgsl(): string {
    const round = this.#per === 1 ? '' : ` + ${this.#per - 1}u) / ${this.#per}u`;
    const open = this.#per === 1 ? '' : '(';
    return `((${open}params.images * ${this.#perImage}u${round}) * ${this.#times}u + ${this.#plus}u)`;
  }
}

/** An array of 32-bit elements that one dispatch writes and later ones read. */
export class Tensor {
  readonly extent: Extent;
  /** Indices of the first and the last dispatch that use it. */
  first = Infinity;
  last = -1;

  constructor(extent: Extent | number) {
    this.extent = typeof extent === 'number' ? new Extent(0, { plus: extent }) : extent;
  }

  get isPerImage(): boolean {
    return !this.extent.isConstant;
  }

  /** Size in bytes, a multiple of 16, so that any tensor can be read as vectors of four elements. */
  bytes(images: number): number {
    return Math.ceil(this.extent.at(images) / 4) * 16;
  }
}

/** Buffers that last as long as the model. */
export type FixedBuffer = 'weights' | 'moving' | 'constants' | 'gradient' | 'statistics';
/** Buffers whose size depends on the number of images, and that the host reads or writes. */
export type HostBuffer = 'records' | 'augmentations' | 'results' | `mask${number}`;

/** A part of a buffer that is not planned like tensors are. */
export interface Region {
  readonly buffer: FixedBuffer | HostBuffer;
  /** Position in elements of 32 bits, a multiple of 64. */
  readonly offset: number;
  /** Number of elements; undefined for the whole buffer. */
  readonly size?: number;
}

export type Resource = Tensor | Region;

/** Places arrays in a buffer, each at an offset that can be bound. */
export class RegionAllocator {
  readonly #buffer: Region['buffer'];
  readonly #regions = new Map<string, Region>();
  size = 0;

  constructor(buffer: Region['buffer']) {
    this.#buffer = buffer;
  }

  /** Returns the region of this name, which is new or has the same size. */
  region(name: string, size: number): Region & { size: number } {
    const existing = this.#regions.get(name);
    if (existing !== undefined) return existing as Region & { size: number };
    const region = { buffer: this.#buffer, offset: this.size, size };
    this.#regions.set(name, region);
    this.size = Math.ceil((this.size + size) / alignmentFloats) * alignmentFloats;
    return region;
  }
}
