// The webgpu engine on any platform that has a GPUDevice. Does not depend on Node.
import type { Preprocessing } from '../../../shared/dataset/image-batch.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import type { EngineIdentity } from '../../../shared/protocol/engine-identity.js';
import type { Engine } from '../../engine.js';
import { Gpu } from './device/gpu.js';
import { WebGpuModel } from './webgpu-model.js';

export interface WebGpuEngineOptions {
  /**
   * Whether to submit empty work while waiting for results. Firefox looks for results only every 100 ms, or when work is
   * submitted (bug 1870699).
   */
  wakesReadback?: boolean;
}

export interface WebGpuEngine extends Engine {
  createModel(layout: ModelLayout, preprocessing: Preprocessing, labelSmoothing?: number): Promise<WebGpuModel>;
}

/** Opens the engine on a device, which the engine destroys when it is closed. */
export async function openWebGpuEngine(
  device: GPUDevice,
  identity: EngineIdentity,
  { wakesReadback = false }: WebGpuEngineOptions = {},
): Promise<WebGpuEngine> {
  const gpu = new Gpu(device, wakesReadback);
  const models = new Set<WebGpuModel>();
  return {
    identity,
    async createModel(layout, preprocessing, labelSmoothing = 0) {
      gpu.assertWorking();
      const settings = { layout, preprocessing, labelSmoothing };
      const model = new WebGpuModel(gpu, settings, () => models.delete(model));
      models.add(model);
      return model;
    },
    async close() {
      // Node crashes now and then if a buffer is being mapped when the process ends.
      await Promise.all([...models].map((model) => model.idle()));
      for (const model of models) model.dispose();
      device.destroy();
      await device.lost;
    },
  };
}
