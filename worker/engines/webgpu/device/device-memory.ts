// The buffers of a model on the device: those that last as long as the model, and those for the images of a slice, which
// grow when more images are processed at once than ever before.
import { LockstepError } from '../../../../shared/errors.js';
import type { RecordFormat } from '../../../../shared/dataset/record-format.js';
import type { DropoutLayer } from '../../../../shared/network/layers.js';
import { sizeOf } from '../../../../shared/network/shapes.js';
import { storageUsage, type Gpu } from './gpu.js';
import { bufferUsage } from './usage.js';
import type { FixedPlan } from '../memory/fixed-plan.js';
import { Tensor, type Region, type Resource } from '../memory/resources.js';
import { planSlots, type SlotPlan } from '../memory/slots.js';

/** Number of buffers for readback: the results of a slice are read while the next one is computed. */
const stagingCount = 2;

interface Plan {
  readonly slots: SlotPlan;
  /** Sizes of the buffers that the host reads or writes. */
  readonly host: ReadonlyMap<Region['buffer'], number>;
  readonly stagingBytes: number;
  /** Sum of all sizes, with those of the fixed buffers. */
  readonly totalBytes: number;
  readonly largestBytes: number;
}

export class DeviceMemory {
  readonly params: GPUBuffer;
  readonly #gpu: Gpu;
  readonly #fixed: FixedPlan;
  readonly #format: RecordFormat;
  readonly #programs: readonly Iterable<Tensor>[];
  readonly #dropouts: readonly DropoutLayer[];
  readonly #fixedBuffers = new Map<Region['buffer'], GPUBuffer>();
  #plan: Plan | null = null;
  #hostBuffers = new Map<Region['buffer'], GPUBuffer>();
  #slotBuffers: GPUBuffer[] = [];
  /** Kept, because creating a buffer for each readback takes several times as long. */
  staging: GPUBuffer[] = [];
  /** Maximum number of images. */
  capacity = 0;

  constructor(
    gpu: Gpu,
    fixed: FixedPlan,
    format: RecordFormat,
    programs: readonly Iterable<Tensor>[],
    dropouts: readonly DropoutLayer[],
  ) {
    this.#gpu = gpu;
    this.#fixed = fixed;
    this.#format = format;
    this.#programs = programs;
    this.#dropouts = dropouts;
    this.params = gpu.createBuffer(16, bufferUsage.uniform | bufferUsage.copyTarget);
    for (const [name, bytes] of this.#fixedSizes()) {
      this.#fixedBuffers.set(name, gpu.createBuffer(bytes, storageUsage));
    }
  }

  bufferOf(name: Region['buffer']): GPUBuffer {
    return (this.#fixedBuffers.get(name) ?? this.#hostBuffers.get(name))!;
  }

  bufferWith(tensor: Tensor): GPUBuffer {
    return this.#slotBuffers[this.#plan!.slots.slotOf.get(tensor)!];
  }

  bindingOf(resource: Resource): GPUBufferBinding {
    if (resource instanceof Tensor) return { buffer: this.bufferWith(resource), size: resource.bytes(this.capacity) };
    const buffer = this.bufferOf(resource.buffer);
    if (resource.size === undefined) return { buffer };
    return { buffer, offset: 4 * resource.offset, size: Math.ceil(resource.size / 4) * 16 };
  }

  /** Number of bytes that a dispatch with this many images binds. */
  bytesOf(resource: Resource, images: number): number {
    if (resource instanceof Tensor) return resource.bytes(images);
    if (resource.size !== undefined) return 4 * resource.size;
    const perCapacity = this.#plan!.host.get(resource.buffer);
    return perCapacity === undefined ? this.bufferOf(resource.buffer).size : (perCapacity / this.capacity) * images;
  }

  /**
   * Reserves memory for this many images. Throws `bad-config` if the device cannot hold it.
   * @returns whether the buffers are new
   */
  async reserve(images: number): Promise<boolean> {
    if (images <= this.capacity) return false;
    this.#release();
    const { maxStorageBufferBindingSize, maxBufferSize } = this.#gpu.device.limits;
    const maxBytes = Math.min(maxStorageBufferBindingSize, maxBufferSize);
    const { totalBytes, largestBytes } = this.#planFor(images);
    const needs = `a slice of ${images} images needs ${mebibytes(totalBytes)} on the GPU`;
    if (largestBytes > maxBytes) {
      const fits = await largestBelow(images, (count) => this.#planFor(count).largestBytes <= maxBytes);
      throw doesNotFit(
        `${needs}, ${mebibytes(largestBytes)} of it for one array, but the device binds at most ${mebibytes(maxBytes)}`,
        fits,
      );
    }
    if (await this.#allocate(images)) return true;
    const fits = await largestBelow(images, async (count) => {
      this.#release();
      return this.#allocate(count);
    });
    this.#release();
    throw doesNotFit(`${needs}, which the device does not have`, fits);
  }

  destroy(): void {
    this.#release();
    for (const buffer of this.#fixedBuffers.values()) buffer.destroy();
    this.params.destroy();
  }

  #fixedSizes(): Map<Region['buffer'], number> {
    const { vectors, constants } = this.#fixed;
    const sizes = new Map<Region['buffer'], number>([['constants', 4 * constants.size]]);
    for (const [name, { size }] of Object.entries(vectors)) sizes.set(name as keyof typeof vectors, 4 * size);
    return sizes;
  }

  #planFor(images: number): Plan {
    const { recordBytes, classCount } = this.#format;
    const host = new Map<Region['buffer'], number>([
      ['records', images * recordBytes],
      ['augmentations', 4 * images],
      ['results', 8 * images],
    ]);
    for (const layer of this.#dropouts) host.set(`mask${layer.index}`, 4 * images * sizeOf(layer.shape));
    const { gradient, statistics } = this.#fixed.vectors;
    const evaluationBytes = 4 * images * (classCount + 2);
    const stagingBytes = Math.max(4 * (gradient.size + statistics.size) + 8 * images, evaluationBytes) + 16;
    const slots = planSlots(this.#programs, images);
    const sizes = [...this.#fixedSizes().values(), ...host.values(), ...slots.slots.map(({ bytes }) => bytes)];
    return {
      slots,
      host,
      stagingBytes,
      totalBytes: sizes.reduce((sum, bytes) => sum + bytes, stagingCount * stagingBytes),
      largestBytes: Math.max(...sizes),
    };
  }

  /** Creates the buffers for this many images; returns false if the device cannot hold them. */
  async #allocate(images: number): Promise<boolean> {
    const { device } = this.#gpu;
    const plan = this.#planFor(images);
    device.pushErrorScope('out-of-memory');
    this.#plan = plan;
    this.#slotBuffers = plan.slots.slots.map(({ bytes }) => this.#gpu.createBuffer(bytes, storageUsage));
    for (const [name, bytes] of plan.host) this.#hostBuffers.set(name, this.#gpu.createBuffer(bytes, storageUsage));
    this.staging = Array.from({ length: stagingCount }, () =>
      this.#gpu.createBuffer(plan.stagingBytes, bufferUsage.mapRead | bufferUsage.copyTarget),
    );
    this.capacity = images;
    return (await device.popErrorScope()) === null;
  }

  #release(): void {
    for (const buffer of [...this.#slotBuffers, ...this.#hostBuffers.values(), ...this.staging]) buffer.destroy();
    this.#slotBuffers = [];
    this.#hostBuffers = new Map();
    this.staging = [];
    this.#plan = null;
    this.capacity = 0;
  }
}

/** Returns the largest number below `fails` that satisfies a condition, which all smaller numbers satisfy too. */
async function largestBelow(fails: number, condition: (count: number) => boolean | Promise<boolean>): Promise<number> {
  let [fits, tooMany] = [0, fails];
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >> 1;
    if (await condition(middle)) fits = middle;
    else tooMany = middle;
  }
  return fits;
}

function doesNotFit(problem: string, fits: number): LockstepError {
  const remedy =
    fits === 0 ? 'use a smaller network' : `increase \`slices\`, so that a slice has at most ${fits} images`;
  return new LockstepError('bad-config', `${problem}: ${remedy}`);
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
