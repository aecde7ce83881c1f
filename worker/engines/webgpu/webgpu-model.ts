// A model on a GPU: uploads images and weights, and reads results.
import type { ImageBatch, Preprocessing } from '../../../shared/dataset/image-batch.js';
import { recordFormat, type RecordFormat } from '../../../shared/dataset/record-format.js';
import { LockstepError } from '../../../shared/errors.js';
import { dropoutMask } from '../../../shared/network/dropout.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import type { DropoutLayer } from '../../../shared/network/layers.js';
import { sizeOf } from '../../../shared/network/shapes.js';
import { host } from '../../../shared/platform/host.js';
import type { EngineModel, EvaluationResult, SliceResult } from '../../engine.js';
import type { Gpu } from './device/gpu.js';
import { profileProgram, type ProfileEntry } from './device/profile.js';
import { ProgramRunner } from './device/submission.js';
import { planTables } from './input-tables.js';
import { DeviceMemory } from './device/device-memory.js';
import { FixedPlan } from './memory/fixed-plan.js';
import { buildProgram } from './operations/build.js';
import type { Program } from './operations/program.js';

/**
 * Maximum number of images, and of their pixels, that an evaluation processes at once, unless memory for a larger slice is
 * reserved.
 */
const evaluationImages = 32;
const evaluationPixels = evaluationImages * 1024;

export interface WebGpuModelSettings {
  layout: ModelLayout;
  preprocessing: Preprocessing;
  labelSmoothing: number;
}

/** A slice whose results will arrive. */
interface SubmittedSlice {
  readonly batch: ImageBatch;
  readonly augmentMs: number;
  readonly results: Promise<Float32Array[]>;
}

export class WebGpuModel implements EngineModel {
  readonly #gpu: Gpu;
  readonly #format: RecordFormat;
  readonly #fixed: FixedPlan;
  readonly #programs: { train: Program; evaluate: Program };
  readonly #dropouts: readonly DropoutLayer[];
  readonly #memory: DeviceMemory;
  readonly #runner: ProgramRunner;
  /** Weights at the device's offsets. */
  readonly #aligned: { weights: Float32Array<ArrayBuffer>; moving: Float32Array<ArrayBuffer> };
  readonly #gradientSum: Float32Array;
  readonly #batchStatistics: Float32Array;
  /** The batch whose images are on the device and will be computed next. */
  #uploaded: ImageBatch | null = null;
  /** Slices that were submitted early, in order. */
  #submitted: SubmittedSlice[] = [];
  #isDisposed = false;
  readonly #onDispose: () => void;

  constructor(gpu: Gpu, { layout, preprocessing, labelSmoothing }: WebGpuModelSettings, onDispose: () => void) {
    this.#onDispose = onDispose;
    this.#gpu = gpu;
    this.#format = recordFormat(layout.data);
    this.#fixed = new FixedPlan(layout);
    const { tables, values } = planTables(this.#fixed, layout, preprocessing);
    const settings = { layout, format: this.#format, fixed: this.#fixed, tables, labelSmoothing };
    this.#programs = { train: buildProgram('train', settings), evaluate: buildProgram('evaluate', settings) };
    this.#dropouts = layout.layers.filter((layer) => layer.op === 'dropout');
    const tensors = Object.values(this.#programs).map((program) => program.tensors);
    this.#memory = new DeviceMemory(gpu, this.#fixed, this.#format, tensors, this.#dropouts);
    this.#runner = new ProgramRunner(gpu, this.#memory);
    this.#gradientSum = new Float32Array(layout.weightsSize);
    this.#batchStatistics = new Float32Array(layout.statisticsSize);
    const { weights, moving } = this.#fixed.vectors;
    this.#aligned = { weights: new Float32Array(weights.size), moving: new Float32Array(moving.size) };
    gpu.device.queue.writeBuffer(this.#memory.bufferOf('constants'), 0, values());
  }

  setWeights(weights: Float32Array, movingStatistics: Float32Array): void {
    const { vectors } = this.#fixed;
    const { queue } = this.#gpu.device;
    vectors.weights.align(weights, this.#aligned.weights);
    vectors.moving.align(movingStatistics, this.#aligned.moving);
    queue.writeBuffer(this.#memory.bufferOf('weights'), 0, this.#aligned.weights);
    queue.writeBuffer(this.#memory.bufferOf('moving'), 0, this.#aligned.moving);
    this.#submitted = [];
  }

  prepare(batch: ImageBatch): void {
    if (this.#uploaded === null && batch.indices.length <= this.#memory.capacity) this.#uploadSlice(batch);
  }

  enqueue(batch: ImageBatch): void {
    const submitted = this.#submitIfReady(batch);
    if (submitted !== undefined) this.#submitted.push(submitted);
  }

  async computeSlice(batch: ImageBatch): Promise<SliceResult> {
    const started = performance.now();
    const submitted = this.#takeSubmitted(batch) ?? this.#submitIfReady(batch) ?? (await this.#submitWhenReady(batch));
    const { augmentMs, results } = submitted;
    const [alignedGradient, alignedStatistics, perImage] = await results;
    const { gradient, statistics } = this.#fixed.vectors;
    gradient.pack(alignedGradient, this.#gradientSum);
    statistics.pack(alignedStatistics, this.#batchStatistics);
    return {
      sampleCount: batch.indices.length,
      ...sumsOf(perImage),
      augmentMs,
      computeMs: Math.max(0, performance.now() - started - augmentMs),
      gradientSum: this.#gradientSum,
      batchStatistics: this.#batchStatistics,
    };
  }

  async evaluate(batch: ImageBatch): Promise<EvaluationResult> {
    const { classCount, planePixels } = this.#format;
    const program = this.#programs.evaluate;
    const sampleCount = batch.indices.length;
    const logits = new Float32Array(sampleCount * classCount);
    const result = { sampleCount, lossSum: 0, correctCount: 0, augmentMs: 0, computeMs: 0, logits };
    await this.#reserve(Math.min(sampleCount, evaluationImages, Math.ceil(evaluationPixels / planePixels)));
    await this.#runner.compile(program);
    await this.#runner.idle();
    const { capacity } = this.#memory;
    for (let first = 0; first < sampleCount; first += capacity) {
      if (first > 0) await host.yieldToEvents();
      const started = performance.now();
      const count = Math.min(capacity, sampleCount - first);
      this.#upload(batch, first, count);
      const uploaded = performance.now();
      const parts = [
        { buffer: this.#memory.bufferOf('results'), floats: 2 * count },
        { buffer: this.#memory.bufferWith(program.logits), floats: count * classCount },
      ];
      const [perImage, ownLogits] = await this.#runner.submit(program, count, parts);
      const { lossSum, correctCount } = sumsOf(perImage);
      logits.set(ownLogits, first * classCount);
      result.lossSum += lossSum;
      result.correctCount += correctCount;
      result.augmentMs += uploaded - started;
      result.computeMs += performance.now() - uploaded;
    }
    return result;
  }

  /** Computes a slice and returns how long each phase of each layer group took. */
  async profile(batch: ImageBatch): Promise<ProfileEntry[]> {
    await this.computeSlice(batch);
    this.#uploadSlice(batch);
    this.#uploaded = null;
    return profileProgram(this.#gpu, this.#memory, this.#runner, this.#programs.train, batch.indices.length);
  }

  /** Waits until nothing is being computed or read. */
  async idle(): Promise<void> {
    await this.#runner.idle();
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#memory.destroy();
    this.#onDispose();
  }

  async #reserve(images: number): Promise<void> {
    if (this.#isDisposed) throw new LockstepError('engine-failed', 'the model has been disposed of');
    if (images > this.#memory.capacity) this.#uploaded = null;
    await this.#runner.reserve(images);
  }

  #takeSubmitted(batch: ImageBatch): SubmittedSlice | undefined {
    const index = this.#submitted.findIndex((slice) => slice.batch === batch);
    return index < 0 ? undefined : this.#submitted.splice(index, 1)[0];
  }

  /** Submits a slice, unless that takes more memory, pipelines or buffers for readback than there are. */
  #submitIfReady(batch: ImageBatch): SubmittedSlice | undefined {
    const fits = batch.indices.length <= this.#memory.capacity;
    return fits && this.#runner.canSubmit(this.#programs.train) ? this.#submit(batch) : undefined;
  }

  async #submitWhenReady(batch: ImageBatch): Promise<SubmittedSlice> {
    await this.#reserve(batch.indices.length);
    await this.#runner.compile(this.#programs.train);
    await this.#runner.idle();
    return this.#submit(batch);
  }

  #submit(batch: ImageBatch): SubmittedSlice {
    const started = performance.now();
    if (this.#uploaded !== batch) this.#uploadSlice(batch);
    this.#uploaded = null;
    const augmentMs = performance.now() - started;
    const { gradient, statistics } = this.#fixed.vectors;
    const parts = [
      { buffer: this.#memory.bufferOf('gradient'), floats: gradient.size },
      { buffer: this.#memory.bufferOf('statistics'), floats: statistics.size },
      { buffer: this.#memory.bufferOf('results'), floats: 2 * batch.indices.length },
    ];
    return { batch, augmentMs, results: this.#runner.submit(this.#programs.train, batch.indices.length, parts) };
  }

  #uploadSlice(batch: ImageBatch): void {
    const count = batch.indices.length;
    this.#upload(batch, 0, count);
    for (const layer of this.#dropouts) {
      const mask =
        batch.dropoutKey === undefined
          ? new Float32Array(count * sizeOf(layer.shape)).fill(1)
          : dropoutMask(batch.dropoutKey, layer, count);
      this.#write(`mask${layer.index}`, mask);
    }
    this.#uploaded = batch;
  }

  /** Copies images first to first + count - 1 of a batch to the device. */
  #upload({ records, indices, augmentations }: ImageBatch, first: number, count: number): void {
    const { recordBytes } = this.#format;
    const gathered = new Uint8Array(Math.ceil((count * recordBytes) / 4) * 4);
    for (let image = 0; image < count; image++) {
      const from = indices[first + image] * recordBytes;
      gathered.set(records.subarray(from, from + recordBytes), image * recordBytes);
    }
    this.#write('records', gathered);
    this.#write('augmentations', Uint32Array.from(augmentations.subarray(first, first + count)));
    this.#uploaded = null;
  }

  #write(buffer: Parameters<DeviceMemory['bufferOf']>[0], values: Float32Array | Uint8Array | Uint32Array): void {
    const target = this.#memory.bufferOf(buffer);
    this.#gpu.device.queue.writeBuffer(target, 0, values.buffer, values.byteOffset, values.byteLength);
  }
}

/** Sums the losses and the correct images, which alternate. */
function sumsOf(perImage: Float32Array): { lossSum: number; correctCount: number } {
  let [lossSum, correctCount] = [0, 0];
  for (let i = 0; i < perImage.length; i += 2) {
    lossSum += perImage[i];
    correctCount += perImage[i + 1];
  }
  return { lossSum, correctCount };
}
