// Reads a checkpoint back. Every byte is verified against its hash before it is used.
import { createHash } from 'node:crypto';
import { lstat, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { resolveConfig, type Config } from '../../shared/config/config.js';
import { officialClassNames } from '../../shared/dataset/cifar10-layout.js';
import type { Preprocessing, PreprocessingName } from '../../shared/dataset/image-batch.js';
import { preprocessingFromArrays } from '../../shared/dataset/measured-preprocessing.js';
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { layoutHash, weightsSha256 } from '../../shared/network/layout-hash.js';
import { classCount, layoutModel, type ArrayLayout, type ModelLayout } from '../../shared/network/layout.js';
import { decodeSafetensors, type NamedArray } from '../../shared/network/safetensors.js';
import {
  exists,
  listCheckpoints,
  modelFile,
  optimizerFile,
  preprocessingFile,
  stateFile,
  sumsFile,
  sumsText,
  type FileSum,
  type RunProgress,
  type TrainingState,
} from './checkpoint.js';
import { totalsRecord } from './run-totals.js';

export interface Checkpoint extends TrainingState {
  /** Its folder. */
  path: string;
  /** The run's configuration, resolved. */
  config: Config;
  layout: ModelLayout;
  preprocessing: Preprocessing;
  weightsSha256: string;
  /** Ten names, in the order of the labels. */
  classNames: readonly string[];
  /** Of each shard of the images, in order. */
  shardHashes: readonly string[];
  progress: RunProgress;
  /** What it was written by. */
  lockstepVersion: string;
}

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const fileSum = z.object({ bytes: z.int().nonnegative(), sha256 });
const count = z.int().nonnegative();
// JSON has no word for what is not a finite number; a validation's loss may be one.
const finiteOrNot = z
  .number()
  .nullable()
  .transform((value) => value ?? NaN);
const progress = z.object({
  imagesSeen: count,
  epochSums: z.object({ sampleCount: count, lossSum: z.number(), correctCount: count }),
  validation: z.object({ step: count, loss: finiteOrNot, accuracy: z.number() }).nullable(),
  best: z.object({ step: count, accuracy: z.number() }).nullable(),
  totals: totalsRecord,
});
const description = z.object({
  lockstepVersion: z.string(),
  step: z.int().nonnegative(),
  weightsSha256: sha256,
  layoutHash: sha256,
  optimizerState: z.array(z.string()),
  config: z.record(z.string(), z.unknown()),
  // Those of earlier versions do not say.
  classNames: z
    .array(z.string())
    .length(classCount)
    .default([...officialClassNames]),
  shardHashes: z.array(sha256),
  progress,
  files: z.object({
    [modelFile]: fileSum,
    [optimizerFile]: fileSum,
    [preprocessingFile]: fileSum.optional(),
  }),
});

/**
 * Reads and verifies a checkpoint.
 * @param location its folder, a link to it (`checkpoints/latest`), or a folder of checkpoints or a run's folder, which
 * mean the newest one in it
 * Throws `no-checkpoint` where there is none, and `bad-checkpoint` for one that is unfinished, damaged or of another
 * model, naming the file, what is wrong with it, and the newest sound checkpoint before it.
 */
export async function loadCheckpoint(location: string): Promise<Checkpoint> {
  const folder = await findCheckpoint(location);
  try {
    return await readCheckpoint(folder);
  } catch (cause) {
    if (!isBadCheckpoint(cause)) throw cause;
    const sound = await loadNewestSound(path.dirname(folder), path.basename(folder));
    const remedy =
      sound === undefined ? 'there is no sound one before it' : `the one before it is sound: ${sound.path}`;
    throw new LockstepError('bad-checkpoint', `${cause.message}; ${remedy}`, { cause });
  }
}

/** The folder that a location means; see loadCheckpoint. Throws `no-checkpoint`. */
async function findCheckpoint(location: string): Promise<string> {
  const none = (where: string) =>
    new LockstepError('no-checkpoint', `there is no checkpoint ${where}: name its folder, or the folder of a run`);
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

/** Reads one folder, which must be a checkpoint. Throws `bad-checkpoint` naming the file and what is wrong with it. */
async function readCheckpoint(folder: string): Promise<Checkpoint> {
  if (folder.endsWith('.partial'))
    throw bad(folder, 'it was never finished: whoever wrote it was stopped in the middle');
  const state = await readChecked(folder, stateFile);
  const sums = await readChecked(folder, sumsFile);
  const stateLine = sumsText({ [stateFile]: state.sum });
  if (!sums.bytes.toString().endsWith(stateLine)) {
    throw bad(path.join(folder, stateFile), `its SHA-256 is ${short(state.sum)}, which is not what ${sumsFile} says`);
  }
  const told = parseDescription(folder, state.bytes);
  const files: Record<string, FileSum> = {};
  async function arraysOf(name: keyof typeof told.files): Promise<Map<string, NamedArray>> {
    const { bytes, sum } = await readChecked(folder, name, told.files[name]);
    files[name] = sum;
    return decodeSafetensors(bytes, path.join(folder, name));
  }
  const model = await arraysOf(modelFile);
  const optimizer = await arraysOf(optimizerFile);
  const preprocessing = await readPreprocessing(folder, told.config.preprocessing, arraysOf);
  files[stateFile] = state.sum;
  if (sums.bytes.toString() !== sumsText(files)) {
    throw bad(path.join(folder, sumsFile), 'it does not list the hashes that the other files have');
  }
  const layout = layoutModel(told.config);
  if (layoutHash(layout) !== told.layoutHash) {
    throw bad(
      path.join(folder, stateFile),
      `it is of another model than its configuration lays out here (it was written by lockstep ${told.lockstepVersion})`,
    );
  }
  const vector = (name: string, arrays: Map<string, NamedArray>, places: readonly ArrayLayout[]) =>
    vectorOf(path.join(folder, name), arrays, places);
  const weights = vector(modelFile, model, layout.trainable);
  const movingStatistics = vector(modelFile, model, layout.statistics);
  const optimizerState = Object.fromEntries(
    told.optimizerState.map((name) => [
      name,
      vector(optimizerFile, withPrefix(optimizer, `${name}/`), layout.trainable),
    ]),
  );
  if (weightsSha256(weights, movingStatistics) !== told.weightsSha256) {
    throw bad(path.join(folder, modelFile), `its weights have another hash than ${stateFile} says`);
  }
  const { layoutHash: _layoutHash, files: _files, ...rest } = told;
  return { ...rest, path: folder, layout, preprocessing, weights, optimizerState, movingStatistics };
}

/** The arrays whose names begin with a prefix, without it. */
function withPrefix(arrays: Map<string, NamedArray>, prefix: string): Map<string, NamedArray> {
  return new Map(
    [...arrays].flatMap(([name, array]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), array]] : [])),
  );
}

/** Reads what was measured, for preprocessing that needs it. */
async function readPreprocessing(
  folder: string,
  name: PreprocessingName,
  arraysOf: (file: typeof preprocessingFile) => Promise<Map<string, NamedArray>>,
): Promise<Preprocessing> {
  if (name === 'imagenet') return name;
  return preprocessingFromArrays(name, await arraysOf(preprocessingFile), path.join(folder, preprocessingFile));
}

/** A file's bytes and their sum. Throws `bad-checkpoint` where it is missing or not what it must be. */
async function readChecked(folder: string, name: string, expected?: FileSum): Promise<{ bytes: Buffer; sum: FileSum }> {
  const file = path.join(folder, name);
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    throw bad(file, systemCodeOf(cause) === 'ENOENT' ? 'it is missing' : messageOf(cause), cause);
  }
  const sum = { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  if (expected !== undefined && sum.bytes !== expected.bytes) {
    throw bad(file, `it has ${sum.bytes} bytes and was written with ${expected.bytes}`);
  }
  if (expected !== undefined && sum.sha256 !== expected.sha256) {
    throw bad(file, `its SHA-256 is ${short(sum)} and was ${short(expected)} when it was written`);
  }
  return { bytes, sum };
}

function parseDescription(folder: string, json: Buffer) {
  const file = path.join(folder, stateFile);
  try {
    const told = description.parse(JSON.parse(json.toString()));
    return { ...told, config: resolveConfig(told.config) };
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause).replaceAll('\n', ' ') : messageOf(cause);
    throw bad(file, `it was written by another version of lockstep, or is not one: ${why}`, cause);
  }
}

/** Arrays by name in one flat vector. Throws `bad-checkpoint` where one is missing or has another shape. */
function vectorOf(file: string, arrays: Map<string, NamedArray>, places: readonly ArrayLayout[]): Float32Array {
  const vector = new Float32Array(places.reduce((size, place) => size + place.size, 0));
  for (const { name, shape, offset } of places) {
    const array = arrays.get(name);
    if (array === undefined) throw bad(file, `it is of another model: ${name} is not in it`);
    if (array.shape.join() !== shape.join()) {
      throw bad(file, `it is of another model: ${name} is [${array.shape.join(', ')}], not [${shape.join(', ')}]`);
    }
    vector.set(array.values, offset);
  }
  return vector;
}

/**
 * The newest checkpoint in a folder that is whole, undefined where there is none.
 * @param before only those older than the one of this name
 */
export async function loadNewestSound(directory: string, before?: string): Promise<Checkpoint | undefined> {
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

function bad(place: string, what: string, cause?: unknown): LockstepError {
  return new LockstepError('bad-checkpoint', `${place} is not a sound checkpoint: ${what}`, { cause });
}

function isBadCheckpoint(thrown: unknown): thrown is LockstepError {
  return thrown instanceof LockstepError && thrown.code === 'bad-checkpoint';
}

/** As much of a hash as tells two apart. */
function short({ sha256: hash }: FileSum): string {
  return `${hash.slice(0, 12)}…`;
}
