// Finds TensorFlow and loads it into this process. The only module that knows where it may be.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import {
  bindingInPackage,
  installFolder,
  lockstepHome,
  tfjsPackages,
  type TensorFlowFlavor,
} from './install-folder.js';
import { notThere, withoutBinding } from './load-failure.js';
import type { NativeBackend, TensorFlowJs, TensorFlowRuntime } from './runtime.js';
import type { TensorFlowMessages } from './tracing/saved-model.js';

/** A place where TensorFlow may be. */
export interface Place {
  flavor: TensorFlowFlavor;
  packageName: string;
  /** Where `lockstep setup-tensorflow` puts it; null for what npm installs beside this package. */
  folder: string | null;
}

/** A place where it does not load, and why: the whole message of whoever refused. */
export interface FailedPlace extends Place {
  reason: string;
}

/** TensorFlow loads nowhere. A LockstepError of its own because `lockstep doctor` looks into each place's reason. */
export class TensorFlowNotLoaded extends LockstepError {
  override readonly name = 'TensorFlowNotLoaded';
  readonly places: readonly FailedPlace[];

  constructor(places: readonly FailedPlace[]) {
    const reasons = places.map(
      ({ packageName, folder, reason }) =>
        `  ${packageName} ${folder === null ? 'installed by npm' : `in ${folder}`}: ${firstLine(reason)}`,
    );
    super(
      'no-engine',
      `TensorFlow does not load:\n${reasons.join('\n')}\n` +
        'Remedy: lockstep setup-tensorflow (in a checkout: node dist/cli.js setup-tensorflow)',
    );
    this.places = places;
  }
}

interface Candidate extends Place {
  /** A file whose folder, or one above it, has the node_modules that hold the package. */
  resolveFrom: string;
}

/** tfjs-node's modules have no `exports` and are CommonJS. */
type Require = ReturnType<typeof createRequire>;

let loaded: TensorFlowRuntime | null = null;

/**
 * Loads TensorFlow, once a process: a GPU installation of `lockstep setup-tensorflow`, then its CPU installation, then
 * what npm installed beside this package. Throws TensorFlowNotLoaded (`no-engine`) where none loads.
 * @param threads TensorFlow takes the number when it is loaded; another number later throws `bad-option`
 */
export function loadTensorFlow(threads: number, environment: NodeJS.ProcessEnv = process.env): TensorFlowRuntime {
  if (loaded !== null) {
    if (loaded.threads === threads) return loaded;
    throw new LockstepError(
      'bad-option',
      `TensorFlow already computes with ${loaded.threads} threads in this process and cannot change to ${threads}: start another process`,
    );
  }
  const candidates = candidatesIn(environment);
  setEnvironment(threads);
  restoreRemovedUtilities();
  const failed: FailedPlace[] = [];
  for (const candidate of candidates) {
    try {
      loaded = loadCandidate(candidate, threads);
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
  const besideThisPackage = (['gpu', 'cpu'] as const).map((flavor) => ({
    flavor,
    packageName: tfjsPackages[flavor],
    folder: null,
    resolveFrom: import.meta.url,
  }));
  return [...ownInstallations, ...besideThisPackage];
}

/** The packages that are installed with their native part, the one that is tried first at the front. Loads nothing. */
export function installedPackages(environment: NodeJS.ProcessEnv = process.env): string[] {
  return candidatesIn(environment)
    .filter(({ packageName, resolveFrom }) => {
      const manifest = findManifest(createRequire(resolveFrom), packageName);
      return manifest !== null && existsSync(join(dirname(manifest), bindingInPackage));
    })
    .map(({ packageName }) => packageName);
}

function loadCandidate({ packageName, resolveFrom }: Candidate, threads: number): TensorFlowRuntime {
  const require = createRequire(resolveFrom);
  const manifestPath = findManifest(require, packageName);
  if (manifestPath === null) throw new Error(notThere);
  const folder = dirname(manifestPath);
  // The binding first and alone: a package that fails on it would leave its kernels registered, and the next candidate
  // would compute with those.
  const bindingPath = join(folder, bindingInPackage);
  if (!existsSync(bindingPath)) throw new Error(withoutBinding);
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
  };
}

function findManifest(require: Require, packageName: string): string | null {
  try {
    return require.resolve(`${packageName}/package.json`);
  } catch {
    return null;
  }
}

/** What TensorFlow reads from the environment when it is loaded. */
function setEnvironment(threads: number): void {
  process.env['TF_NUM_INTRAOP_THREADS'] = String(threads);
  process.env['TF_NUM_INTEROP_THREADS'] = String(threads);
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '3'; // what fails comes back as an error all the same
  process.env['TF_FORCE_GPU_ALLOW_GROWTH'] ??= 'true'; // several workers may share a GPU
  process.env['TF_DETERMINISTIC_OPS'] = '1'; // on a GPU, kernels that repeat their bits
}

const xlaFlag = '--tf_xla_auto_jit=2';

/**
 * Asks TensorFlow to compile its graphs with XLA. It reads the wish when it is loaded: too late throws `bad-option`.
 * On a CPU it has no effect, and would be slower.
 */
export function askForXla(): void {
  const flags = process.env['TF_XLA_FLAGS']?.split(' ') ?? [];
  if (flags.includes(xlaFlag)) return;
  if (loaded !== null) {
    throw new LockstepError('bad-option', 'TensorFlow is loaded without XLA in this process: start another process');
  }
  process.env['TF_XLA_FLAGS'] = [...flags, xlaFlag].join(' ');
}

/** tfjs-node 4.22 calls functions of Node's util that Node 23 removed, and that Node 22 warns about. */
function restoreRemovedUtilities(): void {
  const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>;
  util['isNullOrUndefined'] = (value: unknown) => value === null || value === undefined;
  util['isArray'] = Array.isArray;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0];
}
