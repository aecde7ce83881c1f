// Which engine a name stands for. The only place that knows all of them; each is loaded only when it is asked for.
import { LockstepError } from '../../shared/errors.js';
import type { Engine, EngineOptions, EngineSettings } from '../engine.js';

export const engineNames = ['auto', 'tensorflow', 'wasm'] as const;
export type EngineName = (typeof engineNames)[number];

export interface OpenedEngine {
  engine: Engine;
  /** Why it is this one, where `auto` had to choose. */
  choice: string | undefined;
}

/** Whether this choice of engine would compute on GPUs if there are any: TensorFlow for GPUs is installed. */
export async function canComputeOnGpus(name: EngineName): Promise<boolean> {
  if (name === 'wasm') return false;
  const { installedPackages } = await import('./tensorflow/load.js');
  const { tfjsPackages } = await import('./tensorflow/install-folder.js');
  return installedPackages().includes(tfjsPackages.gpu);
}

/** What a process that computes with this engine is to find in its environment when it starts, where this one lacks it. */
export async function startEnvironment(name: EngineName): Promise<Record<string, string>> {
  if (name === 'wasm') return {};
  const { installedPackages } = await import('./tensorflow/load.js');
  const { memorySettings } = await import('./tensorflow/memory-settings.js');
  return installedPackages().length === 0 ? {} : memorySettings();
}

/** Throws `bad-option` where the wasm engine is asked for what tensorflow alone has. */
export function assertFits(name: EngineName, settings: EngineSettings): void {
  const { precision = 'float32', tensorFlowMode = 'graph', xla = false } = settings;
  const asked = [
    ...(precision === 'float32' ? [] : [`--precision ${precision}`]),
    ...(tensorFlowMode === 'graph' ? [] : [`--tf-mode ${tensorFlowMode}`]),
    ...(xla ? ['--xla'] : []),
  ];
  if (name !== 'wasm' || asked.length === 0) return;
  throw new LockstepError(
    'bad-option',
    `${asked.join(' ')} needs the tensorflow engine: wasm computes in float32, by itself (lockstep setup-tensorflow installs it)`,
  );
}

/**
 * Opens an engine; `auto` is tensorflow where it loads, else wasm.
 * Throws `no-engine`, naming the command that installs one, where the one asked for cannot be had.
 */
export async function openEngine(name: EngineName, options: EngineOptions): Promise<OpenedEngine> {
  switch (name) {
    case 'tensorflow': {
      const { openTensorFlowEngine } = await import('./tensorflow/tensorflow-engine.js');
      return { engine: await openTensorFlowEngine(options), choice: undefined };
    }
    case 'wasm': {
      assertFits(name, options);
      const { openWasmEngine } = await import('./wasm/wasm-engine.js');
      return { engine: await openWasmEngine(options), choice: undefined };
    }
    case 'auto':
      try {
        const { engine } = await openEngine('tensorflow', options);
        return { engine, choice: 'tensorflow, which is installed' };
      } catch (error) {
        if (!(error instanceof LockstepError && error.code === 'no-engine')) throw error;
        const { engine } = await openEngine('wasm', options);
        return {
          engine,
          choice:
            'wasm, as TensorFlow does not load (lockstep setup-tensorflow installs it, --engine tensorflow says why)',
        };
      }
    default:
      return name satisfies never;
  }
}
