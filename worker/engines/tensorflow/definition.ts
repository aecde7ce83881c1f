// The tensorflow engine as the registry sees it.
import { LockstepError } from '../../../shared/errors.js';
import type { EngineDefinition } from '../../engine-definition.js';
import { tfjsPackages } from './install-folder.js';
import { installedPackages } from './load.js';
import { memorySettings } from './memory-settings.js';

export const definition: EngineDefinition = {
  async open(options) {
    const { openTensorFlowEngine } = await import('./tensorflow-engine.js');
    return openTensorFlowEngine(options);
  },
  assertSupports({ precision = 'float32', tensorFlowMode }) {
    if (precision === 'float32' || tensorFlowMode !== 'eager') return;
    throw new LockstepError(
      'bad-option',
      `\`precision\` ${precision} needs \`tensorFlowMode\` graph, because the casts are part of the graph`,
    );
  },
  startEnvironment: () => (installedPackages().length === 0 ? {} : memorySettings()),
  canUseGpus: () => installedPackages().includes(tfjsPackages.gpu),
};
