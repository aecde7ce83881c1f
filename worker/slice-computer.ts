// Computes what a coordinator asks for: a slice's images in keyed order and views, its gradient, and sums over tree
// ranges in tree order. Stateless but for the epoch's order, which is a function of its key.
import { machineMs } from '../shared/clock.js';
import type { WorkerConfig } from '../shared/config/config.js';
import { alternatingFlip, epochOrder, augmentationsOf } from '../shared/dataset/partition.js';
import { recordBytes, type ImageBatch } from '../shared/dataset/image-batch.js';
import { ProtocolError } from '../shared/errors.js';
import { classCount, type ModelLayout } from '../shared/network/layout.js';
import { noClass, type EvaluateMessage, type Split, type TimingMessage } from '../shared/protocol/messages.js';
import { addInto, childrenOf, type SliceRange } from '../shared/reduction/slices.js';
import type { BatchResult, EngineModel } from './engine.js';

/** What the coordinator fixes about the run. */
export type RunPlan = Pick<
  WorkerConfig,
  'seed' | 'augment' | 'flip' | 'cropPadding' | 'augmentValidation' | 'slices' | 'batchSize'
> & { stepsPerEpoch: number };

/** What a range's sum is reported with. */
export interface RangeReport {
  sampleCount: number;
  slices: { lossSum: number; correctCount: number }[];
  augmentMs: number;
  computeMs: number;
  reduceMs: number;
  times: RangeTimes;
}

/** When what was done for a range, as a timeline wants it. */
export type RangeTimes = Pick<TimingMessage, 'slices' | 'additions'>;

/** What a part of an evaluation split is reported with. */
export interface EvaluationShardResult extends BatchResult {
  /** The class that each image is taken for, or noClass. */
  predicted: Uint8Array;
}

export class SliceComputer {
  readonly #plan: RunPlan;
  readonly #layout: ModelLayout;
  readonly #model: EngineModel;
  readonly #recordsOf: (split: Split, index: number) => Promise<Uint8Array>;
  readonly #epochOrders = new Map<number, { epoch: number; order: Uint32Array }>();
  /** By slice, what prepare made for the step that is likely to come next. */
  readonly #prepared = new Map<number, { step: number; batch: ImageBatch }>();
  readonly #checked = new WeakSet<Uint8Array>();
  /** One per level of the tree: sums of right children on their way. */
  readonly #scratch: Float32Array[] = [];

  constructor(
    plan: RunPlan,
    layout: ModelLayout,
    model: EngineModel,
    recordsOf: (split: Split, index: number) => Promise<Uint8Array>,
  ) {
    this.#plan = plan;
    this.#layout = layout;
    this.#model = model;
    this.#recordsOf = recordsOf;
  }

  /** Floats that the answer for a range has: the gradient sum, then one statistics vector per slice. */
  answerFloats(range: SliceRange): number {
    return this.#layout.trainableSize + range.count * this.#layout.statisticsSize;
  }

  /**
   * The sum over a tree range.
   * @param answer receives answerFloats(range) values
   */
  async sumRange(step: number, range: SliceRange, answer: Float32Array): Promise<RangeReport> {
    const times: RangeTimes = { slices: [], additions: [] };
    const report: RangeReport = { sampleCount: 0, slices: [], augmentMs: 0, computeMs: 0, reduceMs: 0, times };
    const { trainableSize, statisticsSize } = this.#layout;

    const computeSlice = async (slice: number) => {
      const prepared = this.#prepared.get(slice);
      const batch = prepared?.step === step ? prepared.batch : await this.#sliceImages(step, slice);
      const startedMs = machineMs();
      const result = await this.#model.computeSlice(batch);
      const { augmentMs, computeMs } = result;
      times.slices.push({ slice, startedMs, endedMs: machineMs(), augmentMs, computeMs });
      const place = trainableSize + report.slices.length * statisticsSize;
      answer.set(result.batchStatistics, place);
      report.slices.push({ lossSum: result.lossSum, correctCount: result.correctCount });
      report.sampleCount += result.sampleCount;
      report.augmentMs += augmentMs;
      report.computeMs += computeMs;
      return result.gradientSum;
    };
    const timed = (action: () => void) => {
      const startedMs = machineMs();
      action();
      const endedMs = machineMs();
      report.reduceMs += endedMs - startedMs;
      times.additions.push({ startedMs, endedMs });
    };
    const sumInto = async (range: SliceRange, target: Float32Array, level: number): Promise<void> => {
      if (range.count === 1) {
        const gradientSum = await computeSlice(range.first);
        timed(() => target.set(gradientSum));
        return;
      }
      const [left, right] = childrenOf(range);
      await sumInto(left, target, level + 1);
      if (right.count === 1) {
        // The engine's own buffer is added as it is: a leaf on the right needs no copy.
        const gradientSum = await computeSlice(right.first);
        timed(() => addInto(target, gradientSum));
        return;
      }
      const scratch = (this.#scratch[level] ??= new Float32Array(trainableSize));
      await sumInto(right, scratch, level + 1);
      timed(() => addInto(target, scratch));
    };
    await sumInto(range, answer.subarray(0, trainableSize), 0);
    return report;
  }

  /** Does beforehand what a step over these ranges needs no weights for: the images' order and views. */
  async prepare(step: number, ranges: readonly SliceRange[]): Promise<void> {
    this.#prepared.clear();
    for (const { first, count } of ranges) {
      for (let slice = first; slice < first + count; slice++) {
        const batch = await this.#sliceImages(step, slice);
        this.#prepared.set(slice, { step, batch });
        this.#model.prepare?.(batch);
      }
    }
  }

  /** Loss and correct answers over a part of an evaluation split, in the plain view unless validation is augmented. */
  async evaluateShard({
    step,
    split,
    index,
  }: Pick<EvaluateMessage, 'step' | 'split' | 'index'>): Promise<EvaluationShardResult> {
    const records = await this.#imagesOf(split, index);
    const count = records.length / recordBytes;
    const indices = Uint32Array.from({ length: count }, (_, place) => place);
    const { seed, augmentValidation, cropPadding } = this.#plan;
    const augment = split === 'validation' && augmentValidation;
    const views = augmentationsOf({
      purpose: 'validationAugmentation',
      seed,
      step,
      slice: index,
      count,
      augment,
      cropPadding,
    });
    const { logits, ...result } = await this.#model.evaluate({ records, indices, views });
    return { ...result, predicted: classesOf(logits) };
  }

  /** A shard whose labels are classes: an engine looks logits up by them. Throws ProtocolError for any other. */
  async #imagesOf(split: Split, index: number): Promise<Uint8Array> {
    const records = await this.#recordsOf(split, index);
    if (this.#checked.has(records)) return records;
    for (let at = 0; at < records.length; at += recordBytes) {
      if (records[at] < classCount) continue;
      throw new ProtocolError(`image ${at / recordBytes} of ${split} shard ${index} has the label ${records[at]}`);
    }
    this.#checked.add(records);
    return records;
  }

  async #sliceImages(step: number, slice: number): Promise<ImageBatch> {
    const { seed, augment, flip, cropPadding, slices, batchSize, stepsPerEpoch } = this.#plan;
    const records = await this.#imagesOf('training', slice);
    const epoch = Math.floor(step / stepsPerEpoch);
    let known = this.#epochOrders.get(slice);
    if (known?.epoch !== epoch) {
      known = { epoch, order: epochOrder(seed, epoch, slice, records.length / recordBytes) };
      this.#epochOrders.set(slice, known);
    }
    const count = batchSize / slices;
    const first = (step % stepsPerEpoch) * count;
    const indices = known.order.subarray(first, first + count);
    if (indices.length < count) {
      throw new ProtocolError(
        `training shard ${slice} has ${known.order.length} images: a step of ${count} from image ${first} on is not in it`,
      );
    }
    const flipped = flip === 'alternating' ? alternatingFlip(seed, epoch, slice, indices) : undefined;
    return { records, indices, views: augmentationsOf({ seed, step, slice, count, augment, cropPadding, flipped }) };
  }
}

/** The class of each image's largest logit, the first where several are; noClass where none is a number. */
export function classesOf(logits: Float32Array): Uint8Array {
  return Uint8Array.from({ length: logits.length / classCount }, (_, image) => {
    let best = noClass;
    let largest = Number.NaN;
    for (let label = 0; label < classCount; label++) {
      const logit = logits[image * classCount + label];
      if (Number.isNaN(logit) || logit <= largest) continue;
      best = label;
      largest = logit;
    }
    return best;
  });
}
