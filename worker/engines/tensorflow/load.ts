// Finds TensorFlow and loads it into this process. No other module knows the possible locations.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import { instructionSets } from '../../../shared/processor.js';
import {
  bindingInPackage,
  installFolder,
  lockstepHome,
  tfjsPackages,
  type TensorFlowFlavor,
} from './install-folder.js';
import { notInstalled, withoutBinding } from './load-failure.js';
import { chooseOneDnn, oneDnnState, oneDnnVariable, setsWithOneDnnByDefault } from './one-dnn.js';
import type { NativeBackend, TensorFlowJs, TensorFlowMessages, TensorFlowRuntime } from './runtime.js';

/** A location where TensorFlow can be installed. */
export interface Location {
  flavor: TensorFlowFlavor;
  packageName: string;
  /**
   * Folder in which `lockstep setup-tensorflow` installs TensorFlow; null for a package that npm installed alongside
   * this one.
   */
  folder: string | null;
}

/** A location that TensorFlow cannot be loaded from, with the complete error message. */
export interface FailedLocation extends Location {
  reason: string;
}

/** Thrown if TensorFlow cannot be loaded from any location. `lockstep doctor` examines the reasons. */
export class TensorFlowNotLoaded extends LockstepError {
  override readonly name = 'TensorFlowNotLoaded';
  readonly locations: readonly FailedLocation[];

  constructor(locations: readonly FailedLocation[]) {
    const reasons = locations.map(
      ({ packageName, folder, reason }) =>
        `  ${packageName} ${folder === null ? 'installed by npm' : `in ${folder}`}: ${firstLine(reason)}`,
    );
    super(
      'no-engine',
      `cannot load TensorFlow:\n${reasons.join('\n')}\n` +
        'Install it with lockstep setup-tensorflow (in a checkout: node dist/cli.js setup-tensorflow)',
    );
    this.locations = locations;
  }
}

interface Candidate extends Location {
  /** A file from which Node's module resolution finds the package. */
  resolveFrom: string;
}

type Require = ReturnType<typeof createRequire>;

let loaded: TensorFlowRuntime | null = null;

/**
 * Loads TensorFlow once per process. Tries the GPU and the CPU installation of `lockstep setup-tensorflow`, then the
 * packages that npm installed alongside this one. Throws TensorFlowNotLoaded (`no-engine`) if none can be loaded, and
 * `bad-option` if TensorFlow has been loaded with a different number of threads.
 * @param threads number of compute threads
 */
export function loadTensorFlow(threads: number, environment: NodeJS.ProcessEnv = process.env): TensorFlowRuntime {
  if (loaded !== null) {
    if (loaded.threads === threads) return loaded;
    throw new LockstepError(
      'bad-option',
      `\`threads\` is ${threads}, but TensorFlow already uses ${loaded.threads} in this process and cannot change: start another process`,
    );
  }
  const candidates = candidatesIn(environment);
  const oneDnnBefore = process.env[oneDnnVariable];
  setTensorFlowVariables(threads);
  restoreRemovedUtilities();
  const failed: FailedLocation[] = [];
  for (const candidate of candidates) {
    try {
      loaded = loadCandidate(candidate, threads, oneDnnBefore);
      return loaded;
    } catch (error) {
      const { flavor, packageName, folder } = candidate;
      failed.push({ flavor, packageName, folder, reason: messageOf(error) });
    }
  }
  throw new TensorFlowNotLoaded(failed);
}

function candidatesIn(environment: NodeJS.ProcessEnv): Candidate[] {
  const home = lockstepHome(environment);
  const ownInstallations = (['gpu', 'cpu'] as const).map((flavor) => {
    const folder = installFolder(home, flavor);
    return { flavor, packageName: tfjsPackages[flavor], folder, resolveFrom: join(folder, 'package.json') };
  });
  const installedByNpm = (['gpu', 'cpu'] as const).map((flavor) => ({
    flavor,
    packageName: tfjsPackages[flavor],
    folder: null,
    resolveFrom: import.meta.url,
  }));
  return [...ownInstallations, ...installedByNpm];
}

/**
 * Returns the packages that are installed with their native binding, in the order in which loadTensorFlow tries them.
 * Does not load them.
 */
export function installedPackages(environment: NodeJS.ProcessEnv = process.env): string[] {
  return candidatesIn(environment)
    .filter(({ packageName, resolveFrom }) => {
      const manifest = findManifest(createRequire(resolveFrom), packageName);
      return manifest !== null && existsSync(join(dirname(manifest), bindingInPackage));
    })
    .map(({ packageName }) => packageName);
}

/** @param oneDnnBefore value of oneDNN's variable before this module set it */
function loadCandidate(
  { packageName, resolveFrom }: Candidate,
  threads: number,
  oneDnnBefore: string | undefined,
): TensorFlowRuntime {
  const require = createRequire(resolveFrom);
  const manifestPath = findManifest(require, packageName);
  if (manifestPath === null) throw new Error(notInstalled);
  const folder = dirname(manifestPath);
  // Loads the binding before the package. A package that fails to load its binding leaves its kernels registered, and
  // the next candidate would use those kernels.
  const bindingPath = join(folder, bindingInPackage);
  if (!existsSync(bindingPath)) throw new Error(withoutBinding);
  // A program may have loaded TensorFlow before it opened this engine, and the variable now comes too late.
  const wasLoaded = require.cache[require.resolve(bindingPath)] !== undefined;
  require(bindingPath);
  const tf = require(packageName) as TensorFlowJs;
  const backend = tf.backend() as unknown as NativeBackend;
  const messages = require(`${packageName}/dist/proto/api_pb.js`) as TensorFlowMessages;
  const manifest = JSON.parse(readFileSync(manifestPath, 'utf8')) as { version: string };
  return {
    tf,
    backend,
    messages,
    packageName: packageName.replace('@tensorflow/', ''),
    packageVersion: manifest.version,
    folder,
    threads,
    oneDnn: oneDnnState(wasLoaded ? oneDnnBefore : process.env[oneDnnVariable], relevantInstructionSets()),
  };
}

function findManifest(require: Require, packageName: string): string | null {
  try {
    return require.resolve(`${packageName}/package.json`);
  } catch {
    return null;
  }
}

function relevantInstructionSets(): string[] | null {
  return instructionSets(setsWithOneDnnByDefault);
}

/**
 * Sets TensorFlow's environment variables in this process. There is no other way to pass these settings: the binding of
 * tfjs-node has no options. TensorFlow reads each variable when it first needs it, some of them when it runs the first
 * graph. A program that uses the library is already running when it opens this engine, so the variables cannot be set
 * before it starts.
 */
function setTensorFlowVariables(threads: number): void {
  process.env['TF_NUM_INTRAOP_THREADS'] = String(threads);
  process.env['TF_NUM_INTEROP_THREADS'] = String(threads);
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '3'; // errors are reported as exceptions anyway
  process.env['TF_FORCE_GPU_ALLOW_GROWTH'] ??= 'true'; // so that several workers can share a GPU
  process.env['TF_DETERMINISTIC_OPS'] = '1'; // deterministic kernels on GPUs
  // Without oneDNN, CPUs without AVX-512 compute at 0.6 times the speed.
  const oneDnn = chooseOneDnn(process.env[oneDnnVariable], relevantInstructionSets());
  if (oneDnn !== undefined) process.env[oneDnnVariable] = oneDnn;
}

const xlaFlag = '--tf_xla_auto_jit=2';

/**
 * Makes TensorFlow compile its graphs with XLA on GPUs. Must be called before TensorFlow is loaded: see
 * setTensorFlowVariables.
 * Throws `bad-option` if TensorFlow has been loaded without XLA.
 */
export function requestXla(): void {
  const flags = process.env['TF_XLA_FLAGS']?.split(' ') ?? [];
  if (flags.includes(xlaFlag)) return;
  if (loaded !== null) {
    throw new LockstepError(
      'bad-option',
      '`xla` is set, but this process has loaded TensorFlow without it: start another process',
    );
  }
  process.env['TF_XLA_FLAGS'] = [...flags, xlaFlag].join(' ');
}

/** Restores functions of node:util that tfjs-node 4.22 calls. They are deprecated in Node 22 and removed in Node 23. */
function restoreRemovedUtilities(): void {
  const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>;
  util['isNullOrUndefined'] = (value: unknown) => value === null || value === undefined;
  util['isArray'] = Array.isArray;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0];
}
