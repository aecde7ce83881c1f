// Which engine a name stands for. The only place that knows all of them; each is loaded only when it is asked for.
import type { Engine, EngineOptions } from '../engine.js';

export const engineNames = ['auto', 'tensorflow'] as const;
export type EngineName = (typeof engineNames)[number];

/** Opens an engine. Throws `no-engine`, naming the command that installs one, where it cannot be had. */
export async function openEngine(name: EngineName, options: EngineOptions): Promise<Engine> {
  switch (name) {
    case 'auto':
    case 'tensorflow': {
      const { openTensorFlowEngine } = await import('./tensorflow/tensorflow-engine.js');
      return openTensorFlowEngine(options);
    }
    default:
      return name satisfies never;
  }
}
