// Selects the images of a slice for a step: the next images of its shard in the order of the epoch, with their
// augmentations. The selection depends only on the run and the shard; the state kept here is a cache.
import { alternatingFlip, augmentationsOf, epochOrder } from '../../shared/dataset/partition.js';
import type { ImageBatch } from '../../shared/dataset/image-batch.js';
import { recordFormatOf, type RecordFormat } from '../../shared/dataset/record-format.js';
import { ProtocolError } from '../../shared/errors.js';
import type { Split, Welcome } from '../../shared/protocol/messages.js';

/** Part of the welcome that determines every image batch. */
export type Run = Pick<Welcome, 'config' | 'dataset' | 'stepsPerEpoch'>;

/** Returns the records of a shard. */
export type ReadShard = (split: Split, index: number) => Promise<Uint8Array>;

export class SliceImages {
  readonly #run: Run;
  readonly #format: RecordFormat;
  readonly #readShard: ReadShard;
  /** Image order of the latest epoch, by slice. */
  readonly #orders = new Map<number, { epoch: number; order: Uint32Array }>();
  /** Batches selected in advance, by slice. */
  readonly #prepared = new Map<number, { step: number; batch: ImageBatch }>();

  constructor(run: Run, readShard: ReadShard) {
    this.#run = run;
    this.#format = recordFormatOf(run.dataset);
    this.#readShard = readShard;
  }

  async batch(step: number, slice: number): Promise<ImageBatch> {
    const prepared = this.#prepared.get(slice);
    return prepared?.step === step ? prepared.batch : this.#select(step, slice);
  }

  /** Selects a batch in advance. Only the latest such batch is kept for each slice. */
  async prepare(step: number, slice: number): Promise<ImageBatch> {
    const batch = await this.#select(step, slice);
    this.#prepared.set(slice, { step, batch });
    return batch;
  }

  async #select(step: number, slice: number): Promise<ImageBatch> {
    const { config, stepsPerEpoch } = this.#run;
    const { seed, augment, flip, cropPadding, slices, batchSize } = config;
    const records = await this.#readShard('training', slice);
    const epoch = Math.floor(step / stepsPerEpoch);
    const order = this.#orderOf(slice, epoch, records.length / this.#format.recordBytes);
    const count = batchSize / slices;
    const first = (step % stepsPerEpoch) * count;
    const indices = order.subarray(first, first + count);
    if (indices.length < count) {
      throw new ProtocolError(
        `training shard ${slice} has ${order.length} images, too few for step ${step}, which needs images ${first} to ` +
          `${first + count - 1} of an epoch`,
      );
    }
    const flipped = flip === 'alternating' ? alternatingFlip(seed, epoch, slice, indices) : undefined;
    return {
      records,
      format: this.#format,
      indices,
      augmentations: augmentationsOf({ seed, step, slice, count, augment, cropPadding, flipped }),
      dropoutKey: { seed, step, slice },
    };
  }

  #orderOf(slice: number, epoch: number, imageCount: number): Uint32Array {
    const known = this.#orders.get(slice);
    if (known?.epoch === epoch) return known.order;
    const order = epochOrder(this.#run.config.seed, epoch, slice, imageCount);
    this.#orders.set(slice, { epoch, order });
    return order;
  }
}
