// What the registry knows about an engine. A definition is cheap to load; only `open` loads the engine itself.
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
