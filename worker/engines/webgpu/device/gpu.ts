// A device with its compiled pipelines, and what became of it.
import { LockstepError, messageOf } from '../../../../shared/errors.js';
import type { Dispatch } from '../operations/program.js';
import { bufferUsage, computeStage, mapModeRead } from './usage.js';

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export class Gpu {
  readonly device: GPUDevice;
  readonly #wakesReadback: boolean;
  readonly #pipelines = new Map<string, Promise<Pipeline>>();
  #failure: string | null = null;

  /** @param wakesReadback whether to submit empty work while waiting for results */
  constructor(device: GPUDevice, wakesReadback: boolean) {
    this.device = device;
    this.#wakesReadback = wakesReadback;
    void this.#watchLoss();
    device.addEventListener('uncapturederror', ({ error }) => {
      this.#failure ??= error.message;
    });
  }

  /** Throws `engine-failed` if the device was lost or has reported an error. */
  assertWorking(): void {
    if (this.#failure !== null) throw new LockstepError('engine-failed', `the webgpu engine failed: ${this.#failure}`);
  }

  /** Returns the pipeline of a dispatch. Dispatches with the same code share one. */
  pipelineOf({ code, kernel }: Dispatch): Promise<Pipeline> {
    let pipeline = this.#pipelines.get(code);
    if (pipeline === undefined) {
      pipeline = this.#compile(
        code,
        kernel.bindings.map(({ access }) => access === 'read'),
      );
      this.#pipelines.set(code, pipeline);
    }
    return pipeline;
  }

  createBuffer(bytes: number, usage: number): GPUBuffer {
    return this.device.createBuffer({ size: Math.max(16, Math.ceil(bytes / 16) * 16), usage });
  }

  /** Copies what a buffer for readback contains, once the work that fills it has finished. */
  async read(staging: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    try {
      await this.#map(staging, bytes);
    } catch (cause) {
      // The reason for a loss arrives after the failure of the map.
      await Promise.resolve();
      this.assertWorking();
      throw new LockstepError('engine-failed', `the webgpu engine cannot read its results: ${messageOf(cause)}`, {
        cause,
      });
    }
    const copy = staging.getMappedRange(0, bytes).slice(0);
    staging.unmap();
    this.assertWorking();
    return copy;
  }

  async #map(staging: GPUBuffer, bytes: number): Promise<void> {
    const map = staging.mapAsync(mapModeRead, 0, bytes);
    if (!this.#wakesReadback) return map;
    const timer = setInterval(() => this.device.queue.submit([]), 1);
    return map.finally(() => clearInterval(timer));
  }

  async #watchLoss(): Promise<void> {
    const { reason, message } = await this.device.lost;
    this.#failure = `the GPU was lost (${reason}): ${message}`;
  }

  async #compile(code: string, isRead: readonly boolean[]): Promise<Pipeline> {
    const { device } = this;
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ code });
    const layout = device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility: computeStage, buffer: { type: 'uniform' } },
        ...isRead.map((reads, index): GPUBindGroupLayoutEntry => ({
          binding: index + 1,
          visibility: computeStage,
          buffer: { type: reads ? 'read-only-storage' : 'storage' },
        })),
      ],
    });
    const error = await device.popErrorScope();
    if (error !== null) throw new LockstepError('engine-failed', `a kernel is not valid: ${error.message}`);
    const pipeline = await device.createComputePipelineAsync({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main' },
    });
    return { pipeline, layout };
  }
}

export const storageUsage = bufferUsage.storage | bufferUsage.copyTarget | bufferUsage.copySource;
