// The wasm engines as the registry sees them.
import { LockstepError } from '../../../shared/errors.js';
import type { EngineDefinition } from '../../engine-definition.js';
import type { WasmEngineName } from './wasm-engine.js';

export const wasmDefinition = (name: WasmEngineName): EngineDefinition => ({
  async open(options) {
    const { openWasmEngine } = await import('./wasm-engine.js');
    return openWasmEngine(options, name);
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
      `${unsupported.join(' and ')} ${unsupported.length === 1 ? 'needs' : 'need'} the tensorflow engine: ${name} computes ` +
        'in float32 and without TensorFlow (lockstep setup-tensorflow installs it)',
    );
  },
  startEnvironment: () => ({}),
  canUseGpus: () => false,
});

export const definition = wasmDefinition('wasm');
