// Runs programs: binds their buffers, encodes their dispatches, and reads results.
import { gridWidth } from '../wgsl/kernel.js';
import type { DeviceMemory } from './device-memory.js';
import type { Dispatch, Program } from '../operations/program.js';
import type { Gpu, Pipeline } from './gpu.js';

/** A dispatch that can be encoded. */
export interface BoundDispatch extends Pick<Pipeline, 'pipeline'> {
  readonly dispatch: Dispatch;
  readonly bindings: GPUBindGroup;
}

/** The beginning of a buffer, to read. */
export interface Part {
  readonly buffer: GPUBuffer;
  readonly floats: number;
}

export class ProgramRunner {
  readonly #gpu: Gpu;
  readonly #memory: DeviceMemory;
  readonly #pipelines = new Map<Program, Pipeline[]>();
  #bound = new Map<Program, BoundDispatch[]>();
  /** Results that are being computed or read. */
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #busyStaging = new Set<GPUBuffer>();

  constructor(gpu: Gpu, memory: DeviceMemory) {
    this.#gpu = gpu;
    this.#memory = memory;
  }

  /** Compiles the kernels of a program. */
  async compile(program: Program): Promise<void> {
    if (this.#pipelines.has(program)) return;
    const pipelines = await Promise.all(program.dispatches.map((dispatch) => this.#gpu.pipelineOf(dispatch)));
    this.#pipelines.set(program, pipelines);
  }

  /** Whether `submit` can be called now: the program is compiled, and a buffer for readback is free. */
  canSubmit(program: Program): boolean {
    return this.#pipelines.has(program) && this.#busyStaging.size < this.#memory.staging.length;
  }

  /** Waits until nothing is being computed or read. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#inFlight);
  }

  /** Reserves memory. Throws the errors of DeviceMemory.reserve. */
  async reserve(images: number): Promise<void> {
    if (images <= this.#memory.capacity) return;
    await this.idle();
    this.#bound = new Map();
    await this.#memory.reserve(images);
  }

  /** Runs a program and returns copies of parts of buffers, as they are right after it. */
  submit(program: Program, images: number, parts: readonly Part[]): Promise<Float32Array[]> {
    this.#gpu.assertWorking();
    const { device } = this.#gpu;
    const staging = this.#memory.staging.find((each) => !this.#busyStaging.has(each))!;
    this.#busyStaging.add(staging);
    device.queue.writeBuffer(this.#memory.params, 0, Uint32Array.of(images, 0, 0, 0));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const each of this.bind(program)) encode(pass, each, images);
    pass.end();
    let bytes = 0;
    for (const { buffer, floats } of parts) {
      encoder.copyBufferToBuffer(buffer, 0, staging, bytes, 4 * floats);
      bytes += 4 * floats;
    }
    device.queue.submit([encoder.finish()]);
    const values = this.#read(staging, bytes, parts);
    this.#inFlight.add(values);
    // The caller handles failures. It may be gone, if the results have become useless.
    values.catch(() => {}).finally(() => this.#inFlight.delete(values));
    return values;
  }

  /** Returns the dispatches of a compiled program with their buffers. */
  bind(program: Program): readonly BoundDispatch[] {
    const existing = this.#bound.get(program);
    if (existing !== undefined) return existing;
    const { device } = this.#gpu;
    const pipelines = this.#pipelines.get(program)!;
    const bound = program.dispatches.map((dispatch, index) => {
      const { pipeline, layout } = pipelines[index];
      const entries = [
        { binding: 0, resource: { buffer: this.#memory.params } },
        ...dispatch.kernel.bindings.map(({ resource }, binding) => ({
          binding: binding + 1,
          resource: this.#memory.bindingOf(resource),
        })),
      ];
      return { pipeline, dispatch, bindings: device.createBindGroup({ layout, entries }) };
    });
    this.#bound.set(program, bound);
    return bound;
  }

  async #read(staging: GPUBuffer, bytes: number, parts: readonly Part[]): Promise<Float32Array[]> {
    const values = new Float32Array(await this.#gpu.read(staging, Math.ceil(bytes / 8) * 8));
    this.#busyStaging.delete(staging);
    let from = 0;
    return parts.map(({ floats }) => values.subarray(from, (from += floats)));
  }
}

export function encode(
  pass: GPUComputePassEncoder,
  { pipeline, bindings, dispatch }: BoundDispatch,
  images: number,
): void {
  const groups = dispatch.kernel.groups.at(images);
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindings);
  pass.dispatchWorkgroups(Math.min(groups, gridWidth), Math.ceil(groups / gridWidth));
}
