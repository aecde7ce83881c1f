// A model on the wasm engine: plans the memory, and copies images and weights in and results out. Does not depend on
// Node.
import { imagenetMeans, type ImageBatch, type Preprocessing } from '../../../shared/dataset/image-batch.js';
import { hasPixelMeans, inputTransformOf } from '../../../shared/dataset/input-transform.js';
import { recordFormat, type RecordFormat } from '../../../shared/dataset/record-format.js';
import { LockstepError } from '../../../shared/errors.js';
import { dropoutMask, type DropoutKey } from '../../../shared/network/dropout.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import { host } from '../../../shared/platform/host.js';
import type { BatchResult, EngineModel, EvaluationResult, SliceResult } from '../../engine.js';
import type { PackedTaps } from './memory/convolution-plan.js';
import { imageBytes, pixelOffset } from './memory/tensor.js';
import type { PassOptions } from './operations/operation.js';
import type { Phase, Work } from './passes/pass.js';
import { StepRunner } from './step-runner.js';

const pageBytes = 65_536;
/**
 * Maximum number of images, and of their pixels, that an evaluation processes at once, unless memory for a larger slice is
 * reserved.
 */
const evaluationImages = 32;
const evaluationPixels = evaluationImages * 1024;

/** Time spent on one kind of work in a step. */
export interface ProfileEntry {
  phase: Phase;
  group: string;
  ms: number;
}

export interface WasmModelOptions {
  /** The compiled kernels; with shared memory if there is more than one thread. */
  module: WebAssembly.Module;
  /** Memory created by createModelMemory. */
  memory: WebAssembly.Memory;
  threads: number;
  passOptions: PassOptions;
  /** Called once by dispose, after it has announced the stop job to the other threads. */
  onDispose?: () => void;
}

/** Creates a memory that can grow to 4 GiB, shared if there is more than one thread. */
export function createModelMemory(threads: number): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: 1, maximum: 65_536, shared: threads > 1 });
}

/** Returns whether preprocessing subtracts a separate mean for each pixel, which requires an additional stage. */
export function subtractsPixelMeans(preprocessing: Preprocessing): boolean {
  return preprocessing !== 'imagenet' && hasPixelMeans(preprocessing);
}

/**
 * Returns the network's input value for a byte of a color plane: the preprocessed value, or the byte itself if a later
 * stage subtracts per-pixel means.
 * @param color 0 is red, 1 green, 2 blue; without colors, 0 is gray
 */
function valueOfByte(preprocessing: Preprocessing, colors: 1 | 3, color: number, byte: number): number {
  // The imagenet values are computed in float64 and rounded once, when stored: another rounding would change the
  // weights of existing runs.
  if (preprocessing === 'imagenet') return (byte - (colors === 1 ? gray : [red, green, blue][color])) / 255;
  if (subtractsPixelMeans(preprocessing)) return byte;
  const { subtract, divide } = preprocessing;
  return Math.fround(byte - subtract[color]) / divide[color];
}
const { red, green, blue, gray } = imagenetMeans;

export class WasmModel implements EngineModel {
  readonly #memory: WebAssembly.Memory;
  readonly #runner: StepRunner;
  readonly #format: RecordFormat;
  readonly #gradientSum: Float32Array;
  readonly #batchStatistics: Float32Array;
  readonly #onDispose: (() => void) | undefined;
  #weightsAreNew = false;
  #isDisposed = false;

  /** Initializes the memory. Construct the model before starting its other threads. */
  constructor(layout: ModelLayout, preprocessing: Preprocessing, options: WasmModelOptions) {
    const { module, memory, threads, passOptions, onDispose } = options;
    this.#memory = memory;
    this.#onDispose = onDispose;
    this.#format = recordFormat(layout.data);
    this.#runner = new StepRunner({ module, memory, layout, thread: 0, threads, ...passOptions });
    this.#gradientSum = new Float32Array(layout.weightsSize);
    this.#batchStatistics = new Float32Array(layout.statisticsSize);
    this.#growTo(this.#runner.memory.end);
    this.#writeTables(layout, preprocessing);
  }

  /** Size of the model's memory in bytes. It grows only when more images are processed at once than ever before. */
  get memoryBytes(): number {
    return this.#memory.buffer.byteLength;
  }

  setWeights(weights: Float32Array, movingStatistics: Float32Array): void {
    const { fixed } = this.#runner.memory;
    this.#floats(fixed.weights, weights.length).set(weights);
    this.#floats(fixed.movingStatistics, movingStatistics.length).set(movingStatistics);
    this.#weightsAreNew = true;
  }

  async computeSlice(batch: ImageBatch): Promise<SliceResult> {
    return this.#train(batch);
  }

  /** Computes a slice and returns how long each phase of each layer group took. */
  profile(batch: ImageBatch): ProfileEntry[] {
    const entries = new Map<string, ProfileEntry>();
    let last = performance.now();
    this.#train(batch, ({ phase, group }) => {
      const now = performance.now();
      const key = `${phase} ${group}`;
      const entry = entries.get(key) ?? { phase, group, ms: 0 };
      entry.ms += now - last;
      entries.set(key, entry);
      last = now;
    });
    return [...entries.values()];
  }

  async evaluate(batch: ImageBatch): Promise<EvaluationResult> {
    const { classCount, planePixels } = this.#format;
    const sampleCount = batch.indices.length;
    const logits = new Float32Array(sampleCount * classCount);
    const result = { sampleCount, lossSum: 0, correctCount: 0, augmentMs: 0, computeMs: 0, logits };
    this.#reserve(Math.min(sampleCount, evaluationImages, Math.ceil(evaluationPixels / planePixels)));
    const { capacity } = this.#runner.memory;
    for (let first = 0; first < sampleCount; first += capacity) {
      // The process can handle its sockets during a long evaluation.
      if (first > 0) await host.yieldToEvents();
      const count = Math.min(capacity, sampleCount - first);
      this.#run('evaluate', batch, first, count, result);
      this.#readLogits(count, logits.subarray(first * classCount));
    }
    return result;
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    const { team, memory } = this.#runner;
    team.announce({ kind: 'stop', count: 0, capacity: memory.capacity });
    this.#onDispose?.();
  }

  #train(batch: ImageBatch, onStage?: (work: Work) => void): SliceResult {
    const sampleCount = batch.indices.length;
    this.#reserve(sampleCount);
    const result = { sampleCount, lossSum: 0, correctCount: 0, augmentMs: 0, computeMs: 0 };
    this.#run('train', batch, 0, sampleCount, result, onStage);
    const { fixed } = this.#runner.memory;
    this.#gradientSum.set(this.#floats(fixed.gradient, this.#gradientSum.length));
    this.#batchStatistics.set(this.#floats(fixed.batchStatistics, this.#batchStatistics.length));
    return { ...result, gradientSum: this.#gradientSum, batchStatistics: this.#batchStatistics };
  }

  /** Processes images first to first + count - 1 of a batch and adds their results to `result`. */
  #run(
    kind: 'train' | 'evaluate',
    batch: ImageBatch,
    first: number,
    count: number,
    result: BatchResult,
    onStage?: (work: Work) => void,
  ): void {
    const started = performance.now();
    const { memory, team } = this.#runner;
    const { capacity, arrays } = memory;
    if (this.#weightsAreNew) {
      const job = { kind: 'weights', count, capacity } as const;
      team.announce(job);
      this.#runner.run(job, onStage);
      this.#weightsAreNew = false;
    }
    const packed = performance.now();
    this.#copyImages(batch, first, count);
    if (kind === 'train') this.#writeMasks(batch.dropoutKey, count);
    const job = { kind, count, capacity };
    let augmentMs = performance.now() - packed;
    let before = performance.now();
    team.announce(job);
    this.#runner.run(job, (work) => {
      if (work.phase === 'images') augmentMs += performance.now() - before;
      before = performance.now();
      onStage?.(work);
    });
    const losses = new Float64Array(this.#memory.buffer, arrays.losses, count);
    const correct = new Int32Array(this.#memory.buffer, arrays.correct, count);
    for (let image = 0; image < count; image++) {
      result.lossSum += losses[image];
      result.correctCount += correct[image];
    }
    result.augmentMs += augmentMs;
    result.computeMs += performance.now() - started - augmentMs;
  }

  /** Copies the logits of the most recently evaluated images. */
  #readLogits(count: number, logits: Float32Array): void {
    const { address, form } = this.#runner.programs.evaluate.logits;
    for (let image = 0; image < count; image++) {
      const own = this.#floats(address + image * imageBytes(form), form.channels);
      logits.set(own, image * form.channels);
    }
  }

  /** Writes the masks of dropout: all ones without a key. */
  #writeMasks(key: DropoutKey | undefined, count: number): void {
    for (const { layer, operation } of this.#runner.programs.train.dropouts) {
      const { form } = operation.mask;
      const { height, width, channels } = form;
      const values = key === undefined ? null : dropoutMask(key, layer, count);
      const origin = operation.mask.address + pixelOffset(form, form.border, form.border);
      for (let image = 0; image < count; image++) {
        for (let row = 0; row < height; row++) {
          for (let column = 0; column < width; column++) {
            const at = origin + image * imageBytes(form) + pixelOffset(form, row, column);
            const own = this.#floats(at, channels);
            const pixel = (image * height + row) * width + column;
            if (values === null) own.fill(1);
            else own.set(values.subarray(pixel * channels, (pixel + 1) * channels));
          }
        }
      }
    }
  }

  #copyImages({ records, indices, augmentations }: ImageBatch, first: number, count: number): void {
    const { arrays } = this.#runner.memory;
    const { recordBytes } = this.#format;
    const bytes = new Uint8Array(this.#memory.buffer, arrays.records, count * recordBytes);
    for (let image = 0; image < count; image++) {
      const from = indices[first + image] * recordBytes;
      bytes.set(records.subarray(from, from + recordBytes), image * recordBytes);
    }
    const target = new Uint16Array(this.#memory.buffer, arrays.augmentations, count);
    target.set(augmentations.subarray(first, first + count));
  }

  /** Reserves memory for this many images, unless enough has been reserved before. */
  #reserve(images: number): void {
    if (this.#isDisposed) throw new LockstepError('engine-failed', 'the model has been disposed of');
    const { memory } = this.#runner;
    if (images <= memory.capacity) return;
    const { capacity } = memory;
    memory.place(images);
    try {
      this.#growTo(memory.end);
    } catch (thrown) {
      memory.place(capacity);
      throw thrown;
    }
    new Uint8Array(this.#memory.buffer).fill(0, memory.begin, memory.end);
  }

  #growTo(bytes: number): void {
    const missing = bytes - this.#memory.buffer.byteLength;
    if (missing <= 0) return;
    try {
      this.#memory.grow(Math.ceil(missing / pageBytes));
    } catch (thrown) {
      const mebibytes = Math.ceil(bytes / 2 ** 20);
      throw new LockstepError(
        'engine-failed',
        `cannot allocate ${mebibytes} MiB for the wasm engine: free memory, or use more slices or fewer workers`,
        {
          cause: thrown,
        },
      );
    }
  }

  /** Writes the tables that the kernels read: taps, constants, and the input value for each byte value of each color. */
  #writeTables({ graph }: ModelLayout, preprocessing: Preprocessing): void {
    const { fixed } = this.#runner.memory;
    const { channels: colors, planePixels } = this.#format;
    const { subtract, divide, channelOrder } = inputTransformOf(preprocessing, colors, graph.channelOrder);
    const values = this.#floats(fixed.preprocessedValues, colors * 256);
    for (let color = 0; color < colors; color++) {
      for (let byte = 0; byte < 256; byte++) {
        values[256 * color + byte] = valueOfByte(preprocessing, colors, color, byte);
      }
    }
    if (subtractsPixelMeans(preprocessing)) {
      const means = this.#floats(fixed.pixelMeans, 4 * planePixels);
      const divisors = this.#floats(fixed.pixelDivisors, 4).fill(1);
      for (const [channel, color] of channelOrder.entries()) {
        divisors[channel] = divide[color];
        for (let pixel = 0; pixel < planePixels; pixel++) {
          means[4 * pixel + channel] = subtract[colors * pixel + color];
        }
      }
    }
    for (const { forward, inputGradient } of fixed.convolutions.values()) {
      if (forward) this.#writeTaps(forward);
      for (const { taps } of inputGradient) this.#writeTaps(taps);
    }
    for (const { layer, factors, offsets } of fixed.scales.values()) {
      const channels = layer.shape.at(-1)!;
      for (const [address, constants] of [
        [factors, layer.factor],
        [offsets, layer.offset],
      ] as const) {
        const row = this.#floats(address, channels);
        for (let channel = 0; channel < channels; channel++) row[channel] = constants[channel % constants.length];
      }
    }
  }

  #writeTaps({ offsets, elements, tapCount, values }: PackedTaps): void {
    new Int32Array(this.#memory.buffer, offsets, tapCount).set(values.map(({ offset }) => offset));
    new Int32Array(this.#memory.buffer, elements, tapCount).set(values.map(({ element }) => element));
  }

  #floats(address: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, address, length);
  }
}
