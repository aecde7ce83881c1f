// Writes the state of a run to disk, arrays as safetensors and the rest as JSON, in a temporary folder that is renamed
// at the end. load-checkpoint.ts reads checkpoints.
import { createHash } from 'node:crypto';
import { lstat, mkdir, open, readdir, rename, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { measuredArraysOf } from '../../../shared/dataset/measured-preprocessing.js';
import { ifMissing } from '../../../shared/errors.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import type { NamedArray } from '../../../shared/network/named-array.js';
import { layoutHash, weightsSha256 } from '../../../shared/network/layout-hash.js';
import { encodeSafetensors, namedArraysOf } from '../../../shared/network/safetensors.js';
import { lockstepVersion } from '../../../shared/version.js';
import type { PublishedState } from '../../encoding/published-weights.js';
import type { BatchSums, Metrics } from '../metrics.js';
import type { RunSetup } from '../run-setup.js';
import type { TotalsRecord } from '../run-totals.js';

/** Everything that the remaining steps depend on, in addition to the configuration and the images. */
export interface SavedState {
  /** Number of updates made. */
  step: number;
  weights: Float32Array;
  /** Optimizer state by name, one value per weight. */
  optimizerState: Readonly<Record<string, Float32Array>>;
  movingStatistics: Float32Array;
  /** The weights that workers have; undefined if the run's encoding is float32. */
  published?: PublishedState | undefined;
}

export interface BestValidation {
  step: number;
  accuracy: number;
}

/** Progress data that the report and later checkpoints need, in addition to the state. */
export interface RunProgress {
  /** Number of training images processed in all steps. */
  imagesSeen: number;
  /** Loss and accuracy sums over the steps of the current epoch. */
  epochSums: BatchSums;
  /** The last validation. It evaluated this state if its step equals the state's step. */
  validation: (Metrics & { step: number }) | null;
  /** The best validation so far. The `best` link points to the checkpoint of its step. */
  best: BestValidation | null;
  totals: TotalsRecord;
}

/** Expected size and hash of a file. */
export interface FileSum {
  bytes: number;
  /** SHA-256 in hexadecimal. */
  sha256: string;
}

/** File with the trainable weights and the moving statistics. */
export const modelFile = 'model.safetensors';
/** File with the optimizer state: arrays named `<state>/<weight>`, for example `velocity/dense/kernel`. */
export const optimizerFile = 'optimizer.safetensors';
/**
 * File with the weights that workers have, `weights/<weight>`, and the scales of the next step's gradients,
 * `gradient-scale/<weight>`; present only if the run's encoding is int8.
 */
export const publishedFile = 'published.safetensors';
/**
 * File with the values that preprocessing subtracts and divides by; present only if they were measured on the training
 * images.
 */
export const preprocessingFile = 'preprocessing.safetensors';
/** File with everything that is not an array. */
export const stateFile = 'state.json';
/** File with the hashes of all other files; `sha256sum -c SHA256SUMS` verifies a checkpoint manually. */
export const sumsFile = 'SHA256SUMS';

/** Suffix of a checkpoint that has been moved aside to be replaced. */
const replacedSuffix = '.replaced';

/** Returns the folder name of a checkpoint, for example `step-00000351`. */
export function checkpointName(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

/** Returns the content of SHA256SUMS for these files. */
export function sumsText(files: Readonly<Record<string, FileSum>>): string {
  return Object.entries(files)
    .map(([name, { sha256 }]) => `${sha256}  ${name}\n`)
    .join('');
}

/**
 * Writes the files of a checkpoint to `<directory>/step-…` and points `<directory>/latest` at it. Readers see either
 * the whole checkpoint or nothing.
 * @returns the checkpoint's path
 */
export async function saveCheckpoint(
  directory: string,
  setup: RunSetup,
  state: SavedState,
  progress: RunProgress,
): Promise<string> {
  const target = path.join(directory, checkpointName(state.step));
  const partial = `${target}.partial`;
  await rm(partial, { recursive: true, force: true });
  try {
    await writeInto(partial, setup, state, progress);
    await replace(target, partial);
  } catch (error) {
    // Free the space, because the disk may be full.
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
  await pointLinkAt(directory, 'latest', checkpointName(state.step));
  return target;
}

async function writeInto(
  folder: string,
  { config, layout, store }: RunSetup,
  state: SavedState,
  progress: RunProgress,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const measured = measuredArraysOf(store.preprocessing, store.dataset);
  const arrays = {
    [modelFile]: [
      ...namedArraysOf(state.weights, layout.weights),
      ...namedArraysOf(state.movingStatistics, layout.statistics),
    ],
    [optimizerFile]: Object.entries(state.optimizerState).flatMap(([name, values]) =>
      namedArraysOf(values, layout.weights).map((array) => ({ ...array, name: `${name}/${array.name}` })),
    ),
    ...(measured.length === 0 ? {} : { [preprocessingFile]: measured }),
    ...(state.published === undefined ? {} : { [publishedFile]: publishedArraysOf(state.published, layout) }),
  };
  const files: Record<string, FileSum> = {};
  for (const [name, named] of Object.entries(arrays)) {
    files[name] = await writeFlushed(path.join(folder, name), encodeSafetensors(named, { format: 'lockstep' }));
  }
  const description = {
    lockstepVersion,
    step: state.step,
    weightsSha256: weightsSha256(state.weights, state.movingStatistics),
    network: layout.graph,
    layoutHash: layoutHash(layout),
    optimizerState: Object.keys(state.optimizerState),
    config,
    dataset: store.dataset,
    shardHashes: store.shards.map(({ sha256 }) => sha256),
    progress,
    files,
  };
  const json = Buffer.from(`${JSON.stringify(description, null, 2)}\n`);
  const sums = sumsText({ ...files, [stateFile]: await writeFlushed(path.join(folder, stateFile), [json]) });
  await writeFlushed(path.join(folder, sumsFile), [Buffer.from(sums)]);
}

function publishedArraysOf({ weights, gradientScales }: PublishedState, layout: ModelLayout): NamedArray[] {
  const scales = layout.weights.map(({ name }, index) => ({
    name: `gradient-scale/${name}`,
    shape: [],
    values: gradientScales?.subarray(index, index + 1),
  }));
  return [
    ...namedArraysOf(weights, layout.weights).map((array) => ({ ...array, name: `weights/${array.name}` })),
    ...scales.flatMap(({ values, ...scale }) => (values === undefined ? [] : [{ ...scale, values }])),
  ];
}

/**
 * Replaces a checkpoint. A crash between the two renames leaves the old one under its temporary name: see
 * locateCheckpoint and removeLeftovers.
 */
async function replace(target: string, by: string): Promise<void> {
  const aside = `${target}${replacedSuffix}`;
  if (await exists(target)) await rename(target, aside);
  await rename(by, target);
  await rm(aside, { recursive: true, force: true });
}

/** Writes the parts of a file in order, and waits until they are on disk. */
async function writeFlushed(file: string, parts: readonly Uint8Array[]): Promise<FileSum> {
  const hash = createHash('sha256');
  let bytes = 0;
  const handle = await open(file, 'w');
  try {
    for (const part of parts) {
      await handle.writeFile(part);
      hash.update(part);
      bytes += part.length;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** Points a relative link at a checkpoint. Replaces the link by renaming, so that it exists at all times. */
export async function pointLinkAt(directory: string, link: 'latest' | 'best', name: string): Promise<void> {
  const aside = path.join(directory, `${link}.partial`);
  await rm(aside, { force: true });
  await symlink(name, aside);
  await rename(aside, path.join(directory, link));
}

/** Removes a checkpoint. Renames it first so that no reader mistakes a half-removed folder for a checkpoint. */
export async function removeCheckpoint(checkpoint: string): Promise<void> {
  const partial = `${checkpoint}.partial`;
  await rm(partial, { recursive: true, force: true });
  await rename(checkpoint, partial);
  await rm(partial, { recursive: true });
}

/**
 * Cleans up after a crash: removes half-written, half-removed and replaced folders, and gives a checkpoint that was moved
 * aside but not replaced its name back.
 */
export async function removeLeftovers(directory: string): Promise<void> {
  const names = await readdir(directory);
  for (const name of names) {
    const folder = path.join(directory, name);
    if (isNotReplaced(name, names)) await rename(folder, withoutReplacedSuffix(folder));
    else if (/\.(partial|replaced)$/.test(name)) await rm(folder, { recursive: true });
  }
}

/** Returns the path of a checkpoint, or its temporary path if it was moved aside but not replaced. */
export async function locateCheckpoint(checkpoint: string): Promise<string> {
  const aside = `${checkpoint}${replacedSuffix}`;
  const isAside = isCheckpointName(path.basename(checkpoint)) && !(await exists(checkpoint)) && (await exists(aside));
  return isAside ? aside : checkpoint;
}

/** Returns the path that a checkpoint has after removeLeftovers. */
export function withoutReplacedSuffix(checkpoint: string): string {
  return checkpoint.endsWith(replacedSuffix) ? checkpoint.slice(0, -replacedSuffix.length) : checkpoint;
}

function isCheckpointName(name: string): boolean {
  return /^step-\d{8,}$/.test(name);
}

/** Returns whether a folder is a checkpoint that was moved aside but not replaced. @param names names in its directory */
function isNotReplaced(name: string, names: readonly string[]): boolean {
  const target = withoutReplacedSuffix(name);
  return target !== name && isCheckpointName(target) && !names.includes(target);
}

/**
 * Makes a checkpoint the newest one in its folder again: renames later ones to `step-….superseded` and resets the
 * links.
 */
export async function returnTo(
  directory: string,
  { step, progress }: { step: number; progress: Pick<RunProgress, 'best'> },
): Promise<void> {
  for (const later of await listCheckpoints(directory)) {
    if (path.basename(later) <= checkpointName(step)) continue;
    const aside = `${later}.superseded`;
    await rm(aside, { recursive: true, force: true });
    await rename(later, aside);
  }
  await pointLinkAt(directory, 'latest', checkpointName(step));
  const best = progress.best && checkpointName(progress.best.step);
  // The best checkpoint may have been removed when a later one was better.
  if (best !== null && (await exists(path.join(directory, best)))) await pointLinkAt(directory, 'best', best);
  else await rm(path.join(directory, 'best'), { force: true });
}

export async function exists(location: string): Promise<boolean> {
  return (await lstat(location).catch(() => undefined)) !== undefined;
}

/** Returns the paths of the checkpoints in a folder, oldest first; empty if the folder does not exist. */
export async function listCheckpoints(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(ifMissing<string[]>([]));
  return names
    .filter((name) => isCheckpointName(name) || isNotReplaced(name, names))
    .toSorted()
    .map((name) => path.join(directory, name));
}
