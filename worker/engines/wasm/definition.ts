// The wasm engine as the registry sees it.
import { LockstepError } from '../../../shared/errors.js';
import type { EngineDefinition } from '../../engine-definition.js';

export const definition: EngineDefinition = {
  async open(options) {
    const { openWasmEngine } = await import('./wasm-engine.js');
    return openWasmEngine(options);
  },
  assertSupports({ precision = 'float32', tensorFlowMode = 'graph', xla = false }) {
    const unsupported = [
      ...(precision === 'float32' ? [] : [`\`precision\` ${precision}`]),
      ...(tensorFlowMode === 'graph' ? [] : [`\`tensorFlowMode\` ${tensorFlowMode}`]),
      ...(xla ? ['`xla`'] : []),
    ];
    if (unsupported.length === 0) return;
    throw new LockstepError(
      'bad-option',
      `${unsupported.join(' and ')} ${unsupported.length === 1 ? 'needs' : 'need'} the tensorflow engine: wasm computes ` +
        'in float32 and without TensorFlow (lockstep setup-tensorflow installs it)',
    );
  },
  startEnvironment: () => ({}),
  canUseGpus: () => false,
};
