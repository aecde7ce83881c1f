// Engines by name, each loaded on first use. To add an engine, create its folder and add one line here.
import { LockstepError } from '../../shared/errors.js';
import type { EngineDefinition } from '../engine-definition.js';
import type { Engine, EngineOptions, EngineSettings } from '../engine.js';

/** `auto` opens the first of these that loads, except wasm-fma. */
const loaders = {
  tensorflow: () => import('./tensorflow/definition.js'),
  'wasm-fma': () => import('./wasm/fma-definition.js'),
  wasm: () => import('./wasm/definition.js'),
} satisfies Record<string, () => Promise<{ definition: EngineDefinition }>>;

export type EngineName = 'auto' | keyof typeof loaders;
type RegisteredName = Exclude<EngineName, 'auto'>;

const registeredNames = Object.keys(loaders) as RegisteredName[];
export const engineNames: readonly EngineName[] = ['auto', ...registeredNames];

export interface OpenedEngine {
  engine: Engine;
  /** Which engine `auto` chose and why; undefined if the user named the engine. */
  choice: string | undefined;
}

/** Returns the engine's definition; for `auto`, the definitions of all engines that it may choose. */
async function definitionsOf(name: EngineName): Promise<EngineDefinition[]> {
  const names = name === 'auto' ? registeredNames : [name];
  return Promise.all(names.map(async (each) => (await loaders[each]()).definition));
}

/** Returns whether the installed engine uses GPUs if the machine has any. */
export async function canComputeOnGpus(name: EngineName): Promise<boolean> {
  return (await definitionsOf(name)).some((definition) => definition.canUseGpus());
}

/**
 * Returns the environment variables to set when starting a process that uses this engine. Keeps the user's settings,
 * and omits variables that need no change.
 */
export async function startEnvironment(name: EngineName): Promise<Record<string, string>> {
  const definitions = await definitionsOf(name);
  return Object.assign({}, ...definitions.map((definition) => definition.startEnvironment())) as Record<string, string>;
}

/** Throws `bad-option` for settings that the engine does not support. For `auto`, openEngine checks them instead. */
export async function assertSupported(name: EngineName, settings: EngineSettings): Promise<void> {
  if (name === 'auto') return;
  const { definition } = await loaders[name]();
  definition.assertSupports(settings);
}

/**
 * Opens an engine. Throws `no-engine`, naming the command that installs the engine, if this machine cannot load it, and
 * `bad-option` for settings that the engine does not support.
 */
export async function openEngine(name: EngineName, options: EngineOptions): Promise<OpenedEngine> {
  if (name !== 'auto') return { engine: await openRegistered(name, options), choice: undefined };
  const failures = new Map<RegisteredName, string>();
  for (const candidate of registeredNames.filter((registered) => registered !== 'wasm-fma')) {
    try {
      const engine = await openRegistered(candidate, options);
      const others = [...failures.keys()].join(' and ');
      const reason =
        others === '' ? 'which is installed' : `as ${others} cannot be loaded (lockstep doctor explains why)`;
      return { engine, choice: `${candidate}, ${reason}` };
    } catch (error) {
      if (!(error instanceof LockstepError && error.code === 'no-engine')) throw error;
      failures.set(candidate, error.message);
    }
  }
  throw new LockstepError('no-engine', [...failures.values()].join('\n'));
}

async function openRegistered(name: RegisteredName, options: EngineOptions): Promise<Engine> {
  const { definition } = await loaders[name]();
  definition.assertSupports(options);
  return definition.open(options);
}
