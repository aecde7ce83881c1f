// Reads checkpoints. Every file is verified against its hash before its content is used.
import { createHash } from 'node:crypto';
import { lstat, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { resolveConfig, type Config } from '../../../shared/config/config.js';
import { datasetDescription } from '../../../shared/dataset/description-schema.js';
import type { DatasetDescription } from '../../../shared/dataset/description.js';
import type { Preprocessing, PreprocessingName } from '../../../shared/dataset/image-batch.js';
import { preprocessingFromArrays } from '../../../shared/dataset/measured-preprocessing.js';
import { recordFormatOf } from '../../../shared/dataset/record-format.js';
import { LockstepError, messageOf, systemCodeOf } from '../../../shared/errors.js';
import { layoutHash, weightsSha256 } from '../../../shared/network/layout-hash.js';
import { parseGraph } from '../../../shared/network/graph-schema.js';
import { layoutNetwork, type ArrayLayout, type ModelLayout } from '../../../shared/network/layout.js';
import type { NamedArray } from '../../../shared/network/named-array.js';
import { decodeSafetensors } from '../../../shared/network/safetensors.js';
import {
  exists,
  listCheckpoints,
  locateCheckpoint,
  modelFile,
  optimizerFile,
  preprocessingFile,
  publishedFile,
  stateFile,
  sumsFile,
  sumsText,
  type FileSum,
  type RunProgress,
  type SavedState,
} from './checkpoint.js';
import { totalsRecord } from '../run-totals.js';

export interface Checkpoint extends SavedState {
  /** Path of the checkpoint's directory. */
  path: string;
  /** The run's resolved configuration. */
  config: Config;
  layout: ModelLayout;
  preprocessing: Preprocessing;
  weightsSha256: string;
  /** What the images are that the model was trained on. */
  dataset: DatasetDescription;
  /** SHA-256 of each shard, in the order training, validation, test. */
  shardHashes: readonly string[];
  progress: RunProgress;
  /** Version of Lockstep that wrote the checkpoint. */
  lockstepVersion: string;
}

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const fileSum = z.object({ bytes: z.int().nonnegative(), sha256 });
const count = z.int().nonnegative();
/** A number that may be non-finite, such as a validation loss; JSON stores non-finite numbers as null. */
const maybeNotFinite = z
  .number()
  .nullable()
  .transform((value) => value ?? NaN);
const progress = z.object({
  imagesSeen: count,
  epochSums: z.object({ sampleCount: count, lossSum: z.number(), correctCount: count }),
  validation: z.object({ step: count, loss: maybeNotFinite, accuracy: z.number() }).nullable(),
  best: z.object({ step: count, accuracy: z.number() }).nullable(),
  totals: totalsRecord,
});
const description = z.object({
  lockstepVersion: z.string(),
  step: count,
  weightsSha256: sha256,
  network: z.unknown(),
  layoutHash: sha256,
  optimizerState: z.array(z.string()),
  config: z.record(z.string(), z.unknown()),
  dataset: datasetDescription,
  shardHashes: z.array(sha256),
  progress,
  files: z.object({
    [modelFile]: fileSum,
    [optimizerFile]: fileSum,
    [preprocessingFile]: fileSum.optional(),
    [publishedFile]: fileSum.optional(),
  }),
});

/**
 * Reads and verifies a checkpoint.
 * Throws `no-checkpoint` if there is none, and `bad-checkpoint` if it is incomplete, damaged, or belongs to a different
 * model; the error names the file, the problem, and the newest intact checkpoint before it.
 * @param location the checkpoint's directory or a link to it (`checkpoints/latest`). A run directory or its
 * `checkpoints` folder selects the newest checkpoint in it.
 */
export async function loadCheckpoint(location: string): Promise<Checkpoint> {
  const folder = await findCheckpoint(location);
  try {
    return await readCheckpoint(folder);
  } catch (cause) {
    if (!isBadCheckpoint(cause)) throw cause;
    const intact = await loadNewestIntact(path.dirname(folder), path.basename(folder));
    const remedy =
      intact === undefined
        ? 'no earlier checkpoint is intact'
        : `the last intact checkpoint before it is ${intact.path}`;
    throw new LockstepError('bad-checkpoint', `${cause.message}; ${remedy}`, { cause });
  }
}

/** Returns the checkpoint directory that a location selects; see loadCheckpoint. Throws `no-checkpoint`. */
async function findCheckpoint(given: string): Promise<string> {
  const location = await locateCheckpoint(given);
  const none = (where: string) =>
    new LockstepError(
      'no-checkpoint',
      `no checkpoint found ${where}: specify a checkpoint's directory or a run directory`,
    );
  const found = await lstat(location).catch((error: unknown) => {
    if (['ENOENT', 'ENOTDIR'].includes(systemCodeOf(error) ?? '')) throw none(`at ${location}`);
    throw error;
  });
  if (found.isSymbolicLink()) {
    const target = await readlink(location);
    return findCheckpoint(path.isAbsolute(target) ? target : path.join(path.dirname(location), target));
  }
  if (!found.isDirectory()) throw none(`at ${location}, which is a file`);
  if (/^step-\d+/.test(path.basename(location)) || (await exists(path.join(location, stateFile)))) return location;
  const inRun = path.join(location, 'checkpoints');
  const checkpoints = await listCheckpoints((await exists(inRun)) ? inRun : location);
  const newest = checkpoints.at(-1);
  if (newest === undefined) throw none(`in ${location}`);
  return newest;
}

/** Reads the checkpoint in a directory. Throws `bad-checkpoint`; the error names the file and the problem. */
async function readCheckpoint(folder: string): Promise<Checkpoint> {
  if (folder.endsWith('.partial')) throw bad(folder, 'it is incomplete: the process that wrote it was stopped');
  const state = await readHashed(folder, stateFile);
  const sums = await readHashed(folder, sumsFile);
  if (!sums.bytes.toString().endsWith(sumsText({ [stateFile]: state.sum }))) {
    throw bad(path.join(folder, stateFile), `its SHA-256, ${short(state.sum)}, is not the one in ${sumsFile}`);
  }
  const described = parseDescription(folder, state.bytes);
  const files: Record<string, FileSum> = {};
  async function readArrays(name: keyof typeof described.files): Promise<NamedArrays> {
    const { bytes, sum } = await readHashed(folder, name, described.files[name]);
    files[name] = sum;
    return decodeSafetensors(bytes, path.join(folder, name));
  }
  const model = await readArrays(modelFile);
  const optimizer = await readArrays(optimizerFile);
  const preprocessing = await readPreprocessing(folder, described, readArrays);
  const publishedArrays = described.config.encoding === 'float32' ? undefined : await readArrays(publishedFile);
  files[stateFile] = state.sum;
  if (sums.bytes.toString() !== sumsText(files)) {
    throw bad(path.join(folder, sumsFile), 'it does not list the hashes of the other files');
  }
  const layout = layoutNetwork(described.network, recordFormatOf(described.dataset));
  if (layoutHash(layout) !== described.layoutHash) {
    throw bad(
      path.join(folder, stateFile),
      `its arrays are not those of its network (it was written by Lockstep ${described.lockstepVersion})`,
    );
  }
  const vector = (name: string, arrays: NamedArrays, layouts: readonly ArrayLayout[]) =>
    gatherVector(arrays, layouts, (problem) =>
      bad(path.join(folder, name), `it belongs to a different model: ${problem}`),
    );
  const weights = vector(modelFile, model, layout.weights);
  const movingStatistics = vector(modelFile, model, layout.statistics);
  const optimizerState = Object.fromEntries(
    described.optimizerState.map((name) => [
      name,
      vector(optimizerFile, withPrefix(optimizer, `${name}/`), layout.weights),
    ]),
  );
  const published = publishedArrays && {
    weights: vector(publishedFile, withPrefix(publishedArrays, 'weights/'), layout.weights),
    gradientScales: gradientScalesIn(publishedArrays, (scales) =>
      vector(
        publishedFile,
        scales,
        layout.weights.map(({ name }, offset) => ({ name, shape: [], offset, size: 1 })),
      ),
    ),
  };
  if (weightsSha256(weights, movingStatistics) !== described.weightsSha256) {
    throw bad(path.join(folder, modelFile), `the hash of its weights is not the one in ${stateFile}`);
  }
  const { layoutHash: _layoutHash, network: _network, files: _files, ...rest } = described;
  return { ...rest, path: folder, layout, preprocessing, weights, optimizerState, movingStatistics, published };
}

type NamedArrays = ReadonlyMap<string, NamedArray>;

/** Returns the arrays whose names start with a prefix, keyed by the rest of their names. */
function withPrefix(arrays: NamedArrays, prefix: string): NamedArrays {
  return new Map(
    [...arrays].flatMap(([name, array]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), array]] : [])),
  );
}

/** Returns the gradient scales; undefined if the checkpoint has none, because the run has not made a step yet. */
function gradientScalesIn(
  arrays: NamedArrays,
  gather: (scales: NamedArrays) => Float32Array,
): Float32Array | undefined {
  const scales = withPrefix(arrays, 'gradient-scale/');
  return scales.size === 0 ? undefined : gather(scales);
}

/** Returns the checkpoint's preprocessing; reads its measured values if it uses any. */
async function readPreprocessing(
  folder: string,
  { config, dataset }: { config: Pick<Config, 'preprocessing'>; dataset: DatasetDescription },
  readArrays: (file: typeof preprocessingFile) => Promise<NamedArrays>,
): Promise<Preprocessing> {
  const name: PreprocessingName = config.preprocessing;
  if (name === 'imagenet') return name;
  const arrays = await readArrays(preprocessingFile);
  return preprocessingFromArrays(name, dataset, arrays, path.join(folder, preprocessingFile));
}

/**
 * Reads and hashes a file. Throws `bad-checkpoint` if it is missing or its size or hash differs from the expected one.
 */
async function readHashed(folder: string, name: string, expected?: FileSum): Promise<{ bytes: Buffer; sum: FileSum }> {
  const file = path.join(folder, name);
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    throw bad(file, systemCodeOf(cause) === 'ENOENT' ? 'it is missing' : messageOf(cause), cause);
  }
  const sum = { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  if (expected !== undefined && sum.bytes !== expected.bytes) {
    throw bad(file, `it has ${sum.bytes} bytes instead of ${expected.bytes}`);
  }
  if (expected !== undefined && sum.sha256 !== expected.sha256) {
    throw bad(file, `its SHA-256 is ${short(sum)} instead of ${short(expected)}`);
  }
  return { bytes, sum };
}

function parseDescription(folder: string, json: Buffer) {
  try {
    const described = description.parse(JSON.parse(json.toString()));
    return {
      ...described,
      config: resolveConfig(described.config),
      network: parseGraph(described.network, '`network`'),
    };
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause).replaceAll('\n', ' ') : messageOf(cause);
    throw bad(
      path.join(folder, stateFile),
      `it is malformed, or was written by another version of Lockstep: ${why}`,
      cause,
    );
  }
}

/**
 * Copies arrays into one flat vector, each at its offset.
 * @param errorFor returns the error to throw if an array is missing or has a different shape
 */
function gatherVector(
  arrays: NamedArrays,
  layouts: readonly ArrayLayout[],
  errorFor: (problem: string) => LockstepError,
): Float32Array {
  const vector = new Float32Array(layouts.reduce((total, { size }) => total + size, 0));
  for (const { name, shape, offset } of layouts) {
    const array = arrays.get(name);
    if (array === undefined) throw errorFor(`${name} is missing`);
    if (array.shape.join() !== shape.join()) {
      throw errorFor(`the shape of ${name} is [${array.shape.join(', ')}] instead of [${shape.join(', ')}]`);
    }
    vector.set(array.values, offset);
  }
  return vector;
}

/**
 * Loads the newest intact checkpoint in a directory; returns undefined if there is none.
 * @param before name of a checkpoint; only older ones are considered
 */
export async function loadNewestIntact(directory: string, before?: string): Promise<Checkpoint | undefined> {
  const checkpoints = await listCheckpoints(directory);
  const candidates = checkpoints.filter((folder) => before === undefined || path.basename(folder) < before);
  for (const candidate of candidates.toReversed()) {
    try {
      return await readCheckpoint(candidate);
    } catch (error) {
      if (!isBadCheckpoint(error)) throw error;
    }
  }
  return undefined;
}

function bad(file: string, problem: string, cause?: unknown): LockstepError {
  return new LockstepError('bad-checkpoint', `cannot load the checkpoint ${file}: ${problem}`, { cause });
}

function isBadCheckpoint(thrown: unknown): thrown is LockstepError {
  return thrown instanceof LockstepError && thrown.code === 'bad-checkpoint';
}

/** Returns a hash shortened to its first 12 digits, for messages. */
function short({ sha256: hash }: FileSum): string {
  return `${hash.slice(0, 12)}…`;
}
