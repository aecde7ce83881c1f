// An engine as the registry sees it. Cheap to load: `open` loads the engine itself.
import type { Engine, EngineOptions, EngineSettings } from './engine.js';

export interface EngineDefinition {
  /**
   * Opens the engine, whose settings have passed assertSupports. Throws `no-engine` if this machine cannot load it,
   * naming the command that installs it, and `bad-option` for settings that its device does not support.
   */
  open(options: EngineOptions): Promise<Engine>;
  /** Throws `bad-option` for settings that this engine does not support on any device. */
  assertSupports(settings: EngineSettings): void;
  /** Environment variables, missing in this process, to start processes with that compute with this engine. */
  startEnvironment(): Record<string, string>;
  /** Whether the engine, as installed, computes on GPUs if the machine has any. */
  canUseGpus(): boolean;
}
