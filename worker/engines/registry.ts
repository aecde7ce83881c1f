// Engines by name, each loaded on first use. To add an engine, create its folder, add one line here, and add its name
// in shared/engine-names.ts.
import { registeredEngines, type EngineName, type RegisteredEngine } from '../../shared/engine-names.js';
import { LockstepError, messageOf } from '../../shared/errors.js';
import type { EngineDefinition } from '../engine-definition.js';
import type { Engine, EngineOptions, EngineSettings } from '../engine.js';

const loaders: Record<RegisteredEngine, () => Promise<{ definition: EngineDefinition }>> = {
  tensorflow: () => import('./tensorflow/definition.js'),
  wasm: () => import('./wasm/definition.js'),
  'wasm-fma': () => import('./wasm/fma-definition.js'),
  webgpu: () => import('./webgpu/definition.js'),
};

/** Returns the engine's definition; for `auto`, the definitions of all engines. */
async function definitionsOf(name: EngineName): Promise<EngineDefinition[]> {
  return Promise.all(namesIn(name).map(async (each) => (await loaders[each]()).definition));
}

function namesIn(name: EngineName): readonly RegisteredEngine[] {
  return name === 'auto' ? registeredEngines : [name];
}

/** Returns whether the installed engine uses GPUs if the machine has any. */
export async function canComputeOnGpus(name: EngineName): Promise<boolean> {
  return (await definitionsOf(name)).some((definition) => definition.canUseGpus());
}

/** Returns environment variables to add when starting a process that uses this engine, except those already set. */
export async function startEnvironment(name: EngineName): Promise<Record<string, string>> {
  const definitions = await definitionsOf(name);
  return Object.assign({}, ...definitions.map((definition) => definition.startEnvironment())) as Record<string, string>;
}

/** Throws `bad-option` for settings that the engine does not support. For `auto`, openEngines checks them instead. */
export async function assertSupported(name: EngineName, settings: EngineSettings): Promise<void> {
  if (name === 'auto') return;
  const { definition } = await loaders[name]();
  definition.assertSupports(settings);
}

/**
 * Opens an engine; for `auto`, every engine that this machine can load and that supports the settings. Throws
 * `no-engine`, naming the command that installs the engine, if there is none, and `bad-option` for settings that no
 * loadable engine supports.
 */
export async function openEngines(name: EngineName, options: EngineOptions): Promise<Engine[]> {
  const engines: Engine[] = [];
  const failures: LockstepError[] = [];
  for (const candidate of namesIn(name)) {
    try {
      engines.push(await openRegistered(candidate, options));
    } catch (error) {
      const isExpected = error instanceof LockstepError && (error.code === 'no-engine' || error.code === 'bad-option');
      if (name !== 'auto' || !isExpected) throw error;
      failures.push(error);
    }
  }
  if (engines.length > 0) return engines;
  const unsupported = failures.find(({ code }) => code === 'bad-option');
  throw unsupported ?? new LockstepError('no-engine', failures.map(messageOf).join('\n'));
}

/** Opens an engine; for `auto`, the first one that openEngines would open. Throws the errors of openEngines. */
export async function openEngine(name: EngineName, options: EngineOptions): Promise<Engine> {
  if (name !== 'auto') return openRegistered(name, options);
  const [first, ...others] = await openEngines(name, options);
  await Promise.all(others.map((engine) => engine.close()));
  return first;
}

async function openRegistered(name: RegisteredEngine, options: EngineOptions): Promise<Engine> {
  const { definition } = await loaders[name]();
  definition.assertSupports(options);
  return definition.open(options);
}
