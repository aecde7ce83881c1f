// Where weights, gradients, statistics and constants are in their buffers on the device.
import type { Layer } from '../../../../shared/network/layers.js';
import type { ArrayLayout, ModelLayout } from '../../../../shared/network/layout.js';
import { RegionAllocator, type Region } from './resources.js';

type Sized = Pick<ArrayLayout, 'name' | 'size'>;

/** A vector on the device, in which each array is at an offset that can be bound. */
export class AlignedVector {
  readonly #arrays: readonly ArrayLayout[];
  readonly #allocator: RegionAllocator;

  constructor(buffer: Region['buffer'], arrays: readonly ArrayLayout[]) {
    this.#arrays = arrays;
    this.#allocator = new RegionAllocator(buffer);
    for (const { name, size } of arrays) this.#allocator.region(name, size);
  }

  /** Number of elements. */
  get size(): number {
    return Math.max(4, this.#allocator.size);
  }

  region({ name, size }: Sized): Region {
    return this.#allocator.region(name, size);
  }

  /** Copies a vector in layout order to one with the device's offsets. */
  align(vector: Float32Array, aligned: Float32Array): void {
    for (const array of this.#arrays) {
      aligned.set(vector.subarray(array.offset, array.offset + array.size), this.region(array).offset);
    }
  }

  /** Copies a vector with the device's offsets to one in layout order. */
  pack(aligned: Float32Array, vector: Float32Array): void {
    for (const array of this.#arrays) {
      const { offset } = this.region(array);
      vector.set(aligned.subarray(offset, offset + array.size), array.offset);
    }
  }
}

export interface ScaleRegions {
  readonly layer: Extract<Layer, { op: 'scale' }>;
  readonly factors: Region;
  readonly offsets: Region;
}

export class FixedPlan {
  readonly vectors: Readonly<Record<'weights' | 'gradient' | 'statistics' | 'moving', AlignedVector>>;
  readonly constants = new RegionAllocator('constants');
  readonly scales = new Map<number, ScaleRegions>();

  constructor({ layers, weights, statistics }: ModelLayout) {
    this.vectors = {
      weights: new AlignedVector('weights', weights),
      gradient: new AlignedVector('gradient', weights),
      statistics: new AlignedVector('statistics', statistics),
      moving: new AlignedVector('moving', statistics),
    };
    for (const layer of layers) {
      if (layer.op !== 'scale') continue;
      const channels = layer.shape.at(-1)!;
      const factors = this.constants.region(`${layer.name} factors`, channels);
      const offsets = this.constants.region(`${layer.name} offsets`, channels);
      this.scales.set(layer.index, { layer, factors, offsets });
    }
  }

  weights(array: Sized): Region {
    return this.vectors.weights.region(array);
  }

  gradient(array: Sized): Region {
    return this.vectors.gradient.region(array);
  }

  statistics(array: Sized): Region {
    return this.vectors.statistics.region(array);
  }

  moving(array: Sized): Region {
    return this.vectors.moving.region(array);
  }
}
