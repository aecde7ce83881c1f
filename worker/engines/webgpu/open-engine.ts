// Stand-in until the kernels are merged.
import type { Engine } from '../../engine.js';
import type { EngineIdentity } from '../../../shared/protocol/engine-identity.js';
import { openWasmEngine } from '../wasm/wasm-engine.js';

export async function openWebGpuEngine(_device: GPUDevice, identity: EngineIdentity): Promise<Engine> {
  const wasm = await openWasmEngine({ threads: 1 });
  return { ...wasm, identity };
}
