// The wasm engines as the registry sees them.
import { assertNoTensorFlowSettings, type EngineDefinition } from '../../engine-definition.js';
import type { WasmEngineName } from './wasm-engine.js';

export const wasmDefinition = (name: WasmEngineName): EngineDefinition => ({
  async open(options) {
    const { openWasmEngine } = await import('./wasm-engine.js');
    return openWasmEngine(options, name);
  },
  assertSupports: (settings) => assertNoTensorFlowSettings(name, settings),
  startEnvironment: () => ({}),
  canUseGpus: () => false,
});

export const definition = wasmDefinition('wasm');
