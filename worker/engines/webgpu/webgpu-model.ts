// A model on a GPU: uploads images and weights, submits the dispatches of a step, and reads the results.
import { inputTransformOf, hasPixelMeans } from '../../../shared/dataset/input-transform.js';
import type { ImageBatch, Preprocessing } from '../../../shared/dataset/image-batch.js';
import { recordFormat, type RecordFormat } from '../../../shared/dataset/record-format.js';
import { LockstepError } from '../../../shared/errors.js';
import { dropoutMask } from '../../../shared/network/dropout.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import type { DropoutLayer } from '../../../shared/network/layers.js';
import { sizeOf } from '../../../shared/network/shapes.js';
import { host } from '../../../shared/platform/host.js';
import type { EngineModel, EvaluationResult, SliceResult } from '../../engine.js';
import { bufferUsage } from './device/usage.js';
import { storageUsage, type Gpu } from './device/gpu.js';
import { gridWidth } from './kernels/kernel.js';
import type { InputTables } from './kernels/ends.js';
import { FixedPlan } from './memory/fixed-plan.js';
import { Tensor, type Region, type Resource } from './memory/resources.js';
import { planSlots, type SlotPlan } from './memory/slots.js';
import { buildProgram, type Program } from './operations/build.js';
import type { Dispatch } from './operations/program.js';

/** Maximum number of images that an evaluation processes at once, unless memory for a larger slice is reserved. */
const evaluationImages = 32;

interface Ready {
  readonly pipeline: GPUComputePipeline;
  readonly bindings: GPUBindGroup;
  readonly dispatch: Dispatch;
}

export class WebGpuModel implements EngineModel {
  readonly #gpu: Gpu;
  readonly #format: RecordFormat;
  readonly #fixed: FixedPlan;
  readonly #train: Program;
  readonly #evaluate: Program;
  readonly #dropouts: readonly DropoutLayer[];
  readonly #buffers = new Map<Region['buffer'], GPUBuffer>();
  readonly #params: GPUBuffer;
  readonly #aligned: { weights: Float32Array<ArrayBuffer>; moving: Float32Array<ArrayBuffer> };
  readonly #gradientSum: Float32Array;
  readonly #batchStatistics: Float32Array;
  #slots: SlotPlan = { slots: [], slotOf: new Map() };
  #slotBuffers: GPUBuffer[] = [];
  #staging: GPUBuffer | null = null;
  #ready = new Map<Program, Ready[]>();
  #capacity = 0;
  #isDisposed = false;

  constructor(gpu: Gpu, layout: ModelLayout, preprocessing: Preprocessing, labelSmoothing: number) {
    this.#gpu = gpu;
    this.#format = recordFormat(layout.data);
    this.#fixed = new FixedPlan(layout);
    const constants = planTables(this.#fixed, layout, preprocessing);
    const settings = { layout, format: this.#format, fixed: this.#fixed, tables: constants.tables, labelSmoothing };
    this.#train = buildProgram('train', settings);
    this.#evaluate = buildProgram('evaluate', settings);
    this.#dropouts = layout.layers.filter((layer) => layer.op === 'dropout');
    this.#gradientSum = new Float32Array(layout.weightsSize);
    this.#batchStatistics = new Float32Array(layout.statisticsSize);
    const { vectors } = this.#fixed;
    for (const [name, vector] of Object.entries(vectors)) {
      this.#buffers.set(name as keyof typeof vectors, gpu.createBuffer(4 * vector.size, storageUsage));
    }
    const values = new Float32Array(this.#fixed.constants.size);
    constants.write(values);
    const buffer = gpu.createBuffer(values.byteLength, storageUsage);
    gpu.device.queue.writeBuffer(buffer, 0, values);
    this.#buffers.set('constants', buffer);
    this.#params = gpu.createBuffer(16, bufferUsage.uniform | bufferUsage.copyTarget);
    this.#aligned = {
      weights: new Float32Array(vectors.weights.size),
      moving: new Float32Array(vectors.moving.size),
    };
  }

  setWeights(weights: Float32Array, movingStatistics: Float32Array): void {
    const { vectors } = this.#fixed;
    const { queue } = this.#gpu.device;
    vectors.weights.align(weights, this.#aligned.weights);
    vectors.moving.align(movingStatistics, this.#aligned.moving);
    queue.writeBuffer(this.#bufferOf('weights'), 0, this.#aligned.weights);
    queue.writeBuffer(this.#bufferOf('moving'), 0, this.#aligned.moving);
  }

  async computeSlice(batch: ImageBatch): Promise<SliceResult> {
    const sampleCount = batch.indices.length;
    const started = performance.now();
    await this.#reserve(sampleCount);
    this.#upload(batch, 0, sampleCount);
    this.#writeMasks(batch, sampleCount);
    const uploaded = performance.now();
    const { gradient, statistics } = this.#fixed.vectors;
    const parts = [
      { buffer: this.#bufferOf('gradient'), floats: gradient.size },
      { buffer: this.#bufferOf('statistics'), floats: statistics.size },
      { buffer: this.#bufferOf('results'), floats: 2 * sampleCount },
    ];
    const [alignedGradient, alignedStatistics, results] = await this.#run(this.#train, sampleCount, parts);
    gradient.pack(alignedGradient, this.#gradientSum);
    statistics.pack(alignedStatistics, this.#batchStatistics);
    return {
      sampleCount,
      ...sumsOf(results),
      augmentMs: uploaded - started,
      computeMs: performance.now() - uploaded,
      gradientSum: this.#gradientSum,
      batchStatistics: this.#batchStatistics,
    };
  }

  async evaluate(batch: ImageBatch): Promise<EvaluationResult> {
    const { classCount } = this.#format;
    const sampleCount = batch.indices.length;
    const logits = new Float32Array(sampleCount * classCount);
    const result = { sampleCount, lossSum: 0, correctCount: 0, augmentMs: 0, computeMs: 0, logits };
    await this.#reserve(Math.min(sampleCount, evaluationImages));
    for (let first = 0; first < sampleCount; first += this.#capacity) {
      if (first > 0) await host.yieldToEvents();
      const started = performance.now();
      const count = Math.min(this.#capacity, sampleCount - first);
      this.#upload(batch, first, count);
      const uploaded = performance.now();
      const parts = [
        { buffer: this.#bufferOf('results'), floats: 2 * count },
        { buffer: this.#slotBuffers[this.#slots.slotOf.get(this.#evaluate.logits)!], floats: count * classCount },
      ];
      const [results, ownLogits] = await this.#run(this.#evaluate, count, parts);
      const { lossSum, correctCount } = sumsOf(results);
      logits.set(ownLogits, first * classCount);
      result.lossSum += lossSum;
      result.correctCount += correctCount;
      result.augmentMs += uploaded - started;
      result.computeMs += performance.now() - uploaded;
    }
    return result;
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    for (const buffer of this.#buffers.values()) buffer.destroy();
    for (const buffer of this.#slotBuffers) buffer.destroy();
    this.#params.destroy();
    this.#staging?.destroy();
  }

  #bufferOf(name: Region['buffer']): GPUBuffer {
    return this.#buffers.get(name)!;
  }

  /** Copies images first to first + count - 1 of a batch to the device. */
  #upload({ records, indices, augmentations }: ImageBatch, first: number, count: number): void {
    const { recordBytes } = this.#format;
    const { queue } = this.#gpu.device;
    const gathered = new Uint8Array(Math.ceil((count * recordBytes) / 4) * 4);
    for (let image = 0; image < count; image++) {
      const from = indices[first + image] * recordBytes;
      gathered.set(records.subarray(from, from + recordBytes), image * recordBytes);
    }
    queue.writeBuffer(this.#bufferOf('records'), 0, gathered);
    const choices = Uint32Array.from(augmentations.subarray(first, first + count));
    queue.writeBuffer(this.#bufferOf('augmentations'), 0, choices);
  }

  #writeMasks({ dropoutKey }: ImageBatch, count: number): void {
    for (const layer of this.#dropouts) {
      const mask =
        dropoutKey === undefined
          ? new Float32Array(count * sizeOf(layer.shape)).fill(1)
          : dropoutMask(dropoutKey, layer, count);
      const buffer = this.#bufferOf(`mask${layer.index}`);
      this.#gpu.device.queue.writeBuffer(buffer, 0, mask as Float32Array<ArrayBuffer>);
    }
  }

  /** Runs a program and returns copies of parts of buffers. */
  async #run(
    program: Program,
    count: number,
    parts: readonly { buffer: GPUBuffer; floats: number }[],
  ): Promise<Float32Array[]> {
    const { device } = this.#gpu;
    this.#gpu.assertWorking();
    const ready = await this.#readyOf(program);
    device.queue.writeBuffer(this.#params, 0, Uint32Array.of(count, 0, 0, 0));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const each of ready) encode(pass, each, count);
    pass.end();
    let bytes = 0;
    for (const { buffer, floats } of parts) {
      encoder.copyBufferToBuffer(buffer, 0, this.#staging!, bytes, 4 * floats);
      bytes += 4 * floats;
    }
    device.queue.submit([encoder.finish()]);
    const values = new Float32Array(await this.#gpu.read(this.#staging!, Math.ceil(bytes / 8) * 8));
    let from = 0;
    return parts.map(({ floats }) => values.subarray(from, (from += floats)));
  }

  async #readyOf(program: Program): Promise<Ready[]> {
    const existing = this.#ready.get(program);
    if (existing !== undefined) return existing;
    const pipelines = await Promise.all(program.dispatches.map((dispatch) => this.#gpu.pipelineOf(dispatch)));
    const ready = program.dispatches.map((dispatch, index) => {
      const { pipeline, layout } = pipelines[index];
      const entries = [
        { binding: 0, resource: { buffer: this.#params } },
        ...dispatch.kernel.bindings.map(({ resource }, binding) => ({
          binding: binding + 1,
          resource: this.#bindingOf(resource),
        })),
      ];
      return { pipeline, dispatch, bindings: this.#gpu.device.createBindGroup({ layout, entries }) };
    });
    this.#ready.set(program, ready);
    return ready;
  }

  #bindingOf(resource: Resource): GPUBufferBinding {
    if (resource instanceof Tensor) {
      return { buffer: this.#slotBuffers[this.#slots.slotOf.get(resource)!], size: resource.bytes(this.#capacity) };
    }
    const buffer = this.#bufferOf(resource.buffer);
    if (resource.size === undefined) return { buffer };
    return { buffer, offset: 4 * resource.offset, size: Math.ceil(resource.size / 4) * 16 };
  }

  /** Reserves memory for this many images, unless enough has been reserved before. */
  async #reserve(images: number): Promise<void> {
    if (this.#isDisposed) throw new LockstepError('engine-failed', 'the model has been disposed of');
    if (images <= this.#capacity) return;
    this.#capacity = images;
    this.#ready = new Map();
    for (const buffer of this.#slotBuffers) buffer.destroy();
    this.#slots = planSlots([this.#train.tensors, this.#evaluate.tensors], images);
    this.#slotBuffers = this.#slots.slots.map(({ bytes }) => this.#gpu.createBuffer(bytes, storageUsage));
    const sizes = new Map<Region['buffer'], number>([
      ['records', images * this.#format.recordBytes],
      ['augmentations', 4 * images],
      ['results', 8 * images],
    ]);
    for (const layer of this.#dropouts) sizes.set(`mask${layer.index}`, 4 * images * sizeOf(layer.shape));
    for (const [name, bytes] of sizes) {
      this.#buffers.get(name)?.destroy();
      this.#buffers.set(name, this.#gpu.createBuffer(bytes, storageUsage));
    }
    this.#staging?.destroy();
    const { gradient, statistics } = this.#fixed.vectors;
    const trainBytes = 4 * (gradient.size + statistics.size) + 8 * images;
    const bytes = Math.max(trainBytes, 4 * images * (this.#format.classCount + 2)) + 8;
    this.#staging = this.#gpu.createBuffer(bytes, bufferUsage.mapRead | bufferUsage.copyTarget);
  }
}

function encode(pass: GPUComputePassEncoder, { pipeline, bindings, dispatch }: Ready, count: number): void {
  const groups = dispatch.kernel.groups.at(count);
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindings);
  pass.dispatchWorkgroups(Math.min(groups, gridWidth), Math.ceil(groups / gridWidth));
}

/** Sums the losses and the correct images, which alternate. */
function sumsOf(results: Float32Array): { lossSum: number; correctCount: number } {
  let [lossSum, correctCount] = [0, 0];
  for (let i = 0; i < results.length; i += 2) {
    lossSum += results[i];
    correctCount += results[i + 1];
  }
  return { lossSum, correctCount };
}

/** Plans the constants that kernels read. */
function planTables(
  { constants, scales }: FixedPlan,
  { graph, data }: ModelLayout,
  preprocessing: Preprocessing,
): { tables: InputTables; write: (values: Float32Array) => void } {
  const { channels } = data;
  const pixels = data.height * data.width;
  const transform = inputTransformOf(preprocessing, channels, graph.channelOrder);
  const { subtract, divide, channelOrder: planes } = transform;
  const isPerPixel = hasPixelMeans(transform);
  const values = constants.region('values of bytes', 256 * channels);
  const means = isPerPixel ? constants.region('pixel means', pixels * channels) : null;
  const factors = constants.region('pixel factors', channels);
  const write = (target: Float32Array): void => {
    for (const [channel, plane] of planes.entries()) {
      const table = target.subarray(values.offset + 256 * channel);
      for (let byte = 0; byte < 256; byte++) {
        table[byte] = isPerPixel ? byte : Math.fround(byte - subtract[plane]) / divide[plane];
      }
      target[factors.offset + channel] = 1 / divide[plane];
      for (let pixel = 0; means !== null && pixel < pixels; pixel++) {
        target[means.offset + pixel * channels + channel] = subtract[pixel * channels + plane];
      }
    }
    for (const { layer, factors: toScale, offsets } of scales.values()) {
      for (let channel = 0; channel < layer.shape.at(-1)!; channel++) {
        target[toScale.offset + channel] = layer.factor[channel % layer.factor.length];
        target[offsets.offset + channel] = layer.offset[channel % layer.offset.length];
      }
    }
  };
  return { tables: { planes, values, means, factors }, write };
}
