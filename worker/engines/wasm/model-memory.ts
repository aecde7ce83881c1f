// Layout of a model's memory: control words, weights and tables, sums, the threads' private memory, and, for the images
// of a slice, records and tensors. Pure.
import { recordFormat } from '../../../shared/dataset/record-format.js';
import { LockstepError } from '../../../shared/errors.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import { neededGradients } from '../../../shared/network/needed-gradients.js';
import { planFixed, type FixedPlan } from './memory/fixed-plan.js';
import { PrivateRegions, SharedSlots } from './memory/tensor-plan.js';
import { Allocator, controlBytes, imagesPerBlock, type Tensor, type ThreadMemory } from './memory/tensor.js';
import type { ImageArrays } from './operations/operation.js';
import type { Program } from './operations/program.js';
import type { SumsMemory } from './passes/pass-builder.js';

/** Maximum size of a WebAssembly memory in bytes. */
const addressableBytes = 2 ** 32;
/** Number of values in a plane, and bytes from one plane to the next: see assembly/winograd.ts. */
const winogradPlaneBytes = 4 * 2048 + 64;

/**
 * Returns the size of a thread's scratch memory: two sets of 36 planes, and, for transforms and for copies of tiles at the
 * edge, two times as many columns of 6 vectors as an image has columns of tiles and border.
 */
const scratchBytesFor = (width: number) => 2 * 36 * winogradPlaneBytes + 2 * (4 * Math.ceil(width / 4) + 2) * 6 * 16;

export class ModelMemory {
  readonly layout: ModelLayout;
  readonly fixed: FixedPlan;
  /** Addresses that depend on the number of images; set by `place`. */
  readonly arrays: ImageArrays = { records: 0, augmentations: 0, losses: 0, correct: 0 };
  readonly sums: SumsMemory = { address: 0, bytes: 0 };
  /** Private memory of each thread; set by addPrograms. */
  threads: readonly ThreadMemory[] = [];
  /** Maximum number of images. */
  capacity = 0;
  /** Beginning of the tensors, and end of the memory. */
  begin = 0;
  end = 0;
  readonly #threadCount: number;
  readonly #allocator = new Allocator(controlBytes);
  readonly #slots = new SharedSlots();

  constructor(layout: ModelLayout, threads: number) {
    this.layout = layout;
    this.#threadCount = threads;
    const needed = neededGradients(layout.layers);
    this.fixed = planFixed(layout, this.#allocator, (layer) => needed[layer]);
  }

  /** Plans the memory of the tensors. Must be called once. */
  addPrograms(programs: readonly Program[]): void {
    const regions = new PrivateRegions();
    for (const program of programs) {
      addPrivateTensors(program, regions);
      this.#slots.addProgram(program.tensors.filter(({ isPrivate }) => !isPrivate));
    }
    const privateBytes = regions.place();
    const maxWidth = Math.max(32, ...this.layout.layers.map(({ shape }) => (shape.length === 3 ? shape[1] : 1)));
    this.sums.address = this.#allocator.take(this.sums.bytes);
    this.threads = Array.from({ length: this.#threadCount }, () => ({
      scratch: this.#allocator.take(scratchBytesFor(maxWidth)),
      blocks: this.#allocator.take(privateBytes),
    }));
    this.place(0);
  }

  /** Sets all addresses for slices of up to `capacity` images. Throws `bad-config` if they do not fit into 4 GiB. */
  place(capacity: number): void {
    const { recordBytes, height, width } = recordFormat(this.layout.data);
    const allocator = new Allocator(this.#allocator.next);
    this.arrays.records = allocator.take(capacity * recordBytes);
    this.arrays.augmentations = allocator.take(2 * capacity);
    this.arrays.losses = allocator.take(8 * capacity);
    this.arrays.correct = allocator.take(4 * capacity);
    const begin = allocator.next;
    this.#slots.place(capacity, allocator);
    const end = allocator.next + slackBytes(this.layout);
    if (end > addressableBytes) {
      const gibibytes = (end / 2 ** 30).toFixed(1);
      const images = `${capacity} images of ${width}×${height} pixels`;
      throw new LockstepError(
        'bad-config',
        capacity === 0
          ? `the weights of this model need ${gibibytes} GiB, but the wasm engine can use only 4: use a smaller network`
          : `a slice of ${images} with this model needs ${gibibytes} GiB, but the wasm engine can use only 4: increase \`slices\``,
      );
    }
    this.capacity = capacity;
    this.begin = begin;
    this.end = end;
  }
}

/** Moves tensors that only one pass over images uses to the threads' private memory, if a block of them is small. */
function addPrivateTensors({ tensors, blockImages }: Program, regions: PrivateRegions): void {
  const indices = new Map<number, number>();
  for (const tensor of tensors) {
    const images = blockImages[tensor.first];
    if (tensor.isKept || tensor.first !== tensor.last || images === undefined || !isSmall(tensor, images)) continue;
    const index = indices.get(tensor.first) ?? 0;
    indices.set(tensor.first, index + 1);
    tensor.isPrivate = true;
    regions.add(tensor, index, images);
  }
}

/** Returns whether a block has at most four times as many pixels as a block of the tensor's own size. */
function isSmall({ form: { height, width } }: Tensor, images: number): boolean {
  return images <= 4 * imagesPerBlock(height * width);
}

/**
 * Returns the number of bytes after the last tensor. Convolutions compute four pixels at a time: they read up to three
 * pixels after the last row, and discard the result.
 */
function slackBytes({ layers }: ModelLayout): number {
  const reads = layers.map(({ shape, ...layer }) => {
    const stride = layer.op === 'conv2d' ? layer.strides[1] : 1;
    const depths = [shape, ...layer.inputShapes].map((each) => each.at(-1)! + 3);
    return 4 * 4 * (stride + 1) * Math.max(...depths);
  });
  return Math.max(...reads);
}
