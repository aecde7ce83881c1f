// What the registry knows about an engine. A definition is cheap to load; only `open` loads the engine itself.
import type { EngineName } from '../shared/engine-names.js';
import { LockstepError } from '../shared/errors.js';
import type { Engine, EngineOptions, EngineSettings } from './engine.js';

export interface EngineDefinition {
  /**
   * Opens the engine with settings that have passed assertSupports. Throws `no-engine`, naming the command that
   * installs the engine, if this machine cannot load it, and `bad-option` for settings that the device does not
   * support.
   */
  open(options: EngineOptions): Promise<Engine>;
  /** Throws `bad-option` for settings that this engine does not support on any device. */
  assertSupports(settings: EngineSettings): void;
  /**
   * Returns the environment variables to set when starting a process that uses this engine. Keeps the user's settings,
   * and omits variables that need no change.
   */
  startEnvironment(): Record<string, string>;
  /** Returns whether the installed engine uses GPUs if the machine has any. */
  canUseGpus(): boolean;
}

/** Throws `bad-option` for settings that another engine than tensorflow does not support. */
export function assertNoTensorFlowSettings(
  engine: EngineName,
  { precision = 'float32', tensorFlowMode = 'graph', xla = false }: EngineSettings,
): void {
  const unsupported = [
    ...(precision === 'float32' ? [] : [`\`precision\` ${precision}`]),
    ...(tensorFlowMode === 'graph' ? [] : [`\`tensorFlowMode\` ${tensorFlowMode}`]),
    ...(xla ? ['`xla`'] : []),
  ];
  if (unsupported.length === 0) return;
  throw new LockstepError(
    'bad-option',
    `${unsupported.join(' and ')} ${unsupported.length === 1 ? 'needs' : 'need'} the tensorflow engine: ${engine} computes ` +
      'in float32 and without TensorFlow (lockstep setup-tensorflow installs it)',
  );
}
