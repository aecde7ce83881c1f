// Selects the images of a slice for a step: the next images of its shard in the order of the epoch, with their
// augmentations. The selection depends only on the run and the shard; the state kept here is a cache.
import { alternatingFlip, augmentationsOf, epochOrder, flipsImages } from '../../shared/dataset/partition.js';
import type { ImageBatch, Preprocessing } from '../../shared/dataset/image-batch.js';
import { recordFormatOf, type RecordFormat } from '../../shared/dataset/record-format.js';
import { ProtocolError } from '../../shared/errors.js';
import type { Split, Welcome } from '../../shared/protocol/messages.js';
import { PixelAugmenter } from './pixel-augmenter.js';
import type { ShardRecords } from '../shards/shard-records.js';

/** Maximum total size of the images that are selected in advance. */
const maxPreparedBytes = 256 * 2 ** 20;

/** Part of the welcome that determines every image batch. */
export type Run = Pick<Welcome, 'config' | 'dataset' | 'stepsPerEpoch'> & { preprocessing: Preprocessing };

/** Returns the records of a shard. */
export type ReadShard = (split: Split, index: number) => Promise<ShardRecords>;

export class SliceImages {
  readonly #run: Run;
  readonly #format: RecordFormat;
  readonly #readShard: ReadShard;
  readonly #augmenter: PixelAugmenter;
  /** Memory for images that have been augmented here instead of by the engine, by slice. */
  readonly #memory = new Map<number, Uint8Array>();
  /** Image order of the latest epoch, by slice. */
  readonly #orders = new Map<number, { epoch: number; order: Uint32Array }>();
  /** Batches of one step, selected in advance, by slice. */
  readonly #prepared = new Map<number, ImageBatch>();
  #preparedStep = -1;

  constructor(run: Run, readShard: ReadShard) {
    this.#run = run;
    this.#format = recordFormatOf(run.dataset);
    this.#readShard = readShard;
    this.#augmenter = new PixelAugmenter(run.config, this.#format, run.preprocessing);
  }

  /** Returns the batch of a slice, which is valid until the next batch of the same slice is selected. */
  async batch(step: number, slice: number): Promise<ImageBatch> {
    const prepared = this.#preparedStep === step ? this.#prepared.get(slice) : undefined;
    return prepared ?? this.#select(step, slice);
  }

  /**
   * Selects a batch in advance, unless too many images have been selected in advance already. Only batches of the latest
   * such step are kept.
   */
  async prepare(step: number, slice: number): Promise<ImageBatch | undefined> {
    if (this.#preparedStep !== step) this.#prepared.clear();
    this.#preparedStep = step;
    const { batchSize, slices } = this.#run.config;
    const batchBytes = (batchSize / slices) * this.#format.recordBytes;
    if ((this.#prepared.size + 1) * batchBytes > maxPreparedBytes) return undefined;
    const batch = await this.#select(step, slice);
    this.#prepared.set(slice, batch);
    return batch;
  }

  async #select(step: number, slice: number): Promise<ImageBatch> {
    const { config, stepsPerEpoch } = this.#run;
    const { seed, slices, batchSize } = config;
    const shard = await this.#readShard('training', slice);
    const epoch = Math.floor(step / stepsPerEpoch);
    const order = this.#orderOf(slice, epoch, shard.count);
    const count = batchSize / slices;
    const first = (step % stepsPerEpoch) * count;
    const indices = order.subarray(first, first + count);
    if (indices.length < count) {
      throw new ProtocolError(
        `training shard ${slice} has ${order.length} images, too few for step ${step}, which needs images ${first} to ` +
          `${first + count - 1} of an epoch`,
      );
    }
    const augmentations = this.#augmentations(step, epoch, slice, indices);
    const dropoutKey = { seed, step, slice };
    const batch = { ...(await shard.read(indices)), format: this.#format, augmentations, dropoutKey };
    return this.#augmenter.isActive ? this.#augment(batch, step, slice) : batch;
  }

  #augmentations(step: number, epoch: number, slice: number, indices: Uint32Array): Uint16Array {
    const { config, dataset } = this.#run;
    const { seed, augment, flip, cropPadding, cropMargin: margin } = config;
    const count = indices.length;
    const flipped = !flipsImages(config, dataset)
      ? Array<boolean>(count).fill(false)
      : flip === 'alternating'
        ? alternatingFlip(seed, epoch, slice, indices)
        : undefined;
    return augmentationsOf({ seed, step, slice, count, augment, cropPadding, margin, flipped });
  }

  /** Augments a batch in the slice's memory. This overwrites the slice's previous batch. */
  #augment(batch: ImageBatch, step: number, slice: number): ImageBatch {
    this.#prepared.delete(slice);
    const key = { purpose: 'pixelAugmentation', step, slice } as const;
    const augmented = this.#augmenter.apply(batch, key, this.#memory.get(slice));
    this.#memory.set(slice, augmented.records);
    return augmented;
  }

  #orderOf(slice: number, epoch: number, imageCount: number): Uint32Array {
    const known = this.#orders.get(slice);
    if (known?.epoch === epoch) return known.order;
    const order = epochOrder(this.#run.config.seed, epoch, slice, imageCount);
    this.#orders.set(slice, { epoch, order });
    return order;
  }
}
