// The webgpu engine as the registry sees it.
import { assertNoTensorFlowSettings, type EngineDefinition } from '../../engine-definition.js';
import { loaderEnvironment } from './platform/dawn.js';

export const definition: EngineDefinition = {
  async open() {
    const { openWebGpuInNode } = await import('./platform/node-engine.js');
    return openWebGpuInNode();
  },
  assertSupports: (settings) => assertNoTensorFlowSettings('webgpu', settings),
  startEnvironment: () => loaderEnvironment(process.env),
  canUseGpus: () => false,
};
