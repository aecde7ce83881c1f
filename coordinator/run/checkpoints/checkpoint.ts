// Writes the state of a run to disk: safetensors for arrays, JSON for the rest, in a temporary folder that is then renamed.
// load-checkpoint.ts reads it.
import { createHash } from 'node:crypto';
import { lstat, mkdir, open, readdir, rename, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { measuredArraysOf } from '../../../shared/dataset/measured-preprocessing.js';
import { ifMissing } from '../../../shared/errors.js';
import { layoutHash, weightsSha256 } from '../../../shared/network/layout-hash.js';
import { encodeSafetensors, namedArraysOf } from '../../../shared/network/safetensors.js';
import { lockstepVersion } from '../../../shared/version.js';
import type { BatchSums, Metrics } from '../metrics.js';
import type { RunSetup } from '../run-setup.js';
import type { TotalsRecord } from '../run-totals.js';

/** Everything that the rest of a run depends on, besides its configuration and images. */
export interface SavedState {
  /** Updates made. */
  step: number;
  weights: Float32Array;
  /** State of the optimizer by name, one value per weight. */
  optimizerState: Readonly<Record<string, Float32Array>>;
  movingStatistics: Float32Array;
}

export interface BestValidation {
  step: number;
  accuracy: number;
}

/** What the report and later checkpoints depend on, in addition to the state. */
export interface RunProgress {
  /** Training images of all steps. */
  imagesSeen: number;
  /** Sums over the steps of the current epoch. */
  epochSums: BatchSums;
  /** The last validation; of this state if its step is this one. */
  validation: (Metrics & { step: number }) | null;
  /** The best validation so far, and the step of the checkpoint that the `best` link points to. */
  best: BestValidation | null;
  totals: TotalsRecord;
}

/** Expected size and hash of a file. */
export interface FileSum {
  bytes: number;
  /** In hex. */
  sha256: string;
}

/** Trainable weights and moving statistics. */
export const modelFile = 'model.safetensors';
/** Optimizer state: arrays named `<state>/<weight>`, for example `velocity/dense/kernel`. */
export const optimizerFile = 'optimizer.safetensors';
/** Values that preprocessing subtracts and divides by, if they were measured over the training images. */
export const preprocessingFile = 'preprocessing.safetensors';
/** Everything that is not an array. */
export const stateFile = 'state.json';
/** Hashes of all other files; `sha256sum -c SHA256SUMS` checks a checkpoint by hand. */
export const sumsFile = 'SHA256SUMS';

/** `step-00000351` */
export function checkpointName(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

/** The content of SHA256SUMS for these files. */
export function sumsText(files: Readonly<Record<string, FileSum>>): string {
  return Object.entries(files)
    .map(([name, { sha256 }]) => `${sha256}  ${name}\n`)
    .join('');
}

/**
 * Writes `<directory>/step-…/{model,optimizer}.safetensors, state.json, SHA256SUMS`, and preprocessing.safetensors if
 * preprocessing was measured, and points `<directory>/latest` at it. Readers see the whole checkpoint or none of it.
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
    // Frees the space on a full disk.
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
  const measured = measuredArraysOf(store.preprocessing);
  const arrays = {
    [modelFile]: [
      ...namedArraysOf(state.weights, layout.trainable),
      ...namedArraysOf(state.movingStatistics, layout.statistics),
    ],
    [optimizerFile]: Object.entries(state.optimizerState).flatMap(([name, values]) =>
      namedArraysOf(values, layout.trainable).map((array) => ({ ...array, name: `${name}/${array.name}` })),
    ),
    ...(measured.length === 0 ? {} : { [preprocessingFile]: measured }),
  };
  const files: Record<string, FileSum> = {};
  for (const [name, named] of Object.entries(arrays)) {
    files[name] = await writeFlushed(path.join(folder, name), encodeSafetensors(named, { format: 'lockstep' }));
  }
  const description = {
    lockstepVersion,
    step: state.step,
    weightsSha256: weightsSha256(state.weights, state.movingStatistics),
    layoutHash: layoutHash(layout),
    optimizerState: Object.keys(state.optimizerState),
    config,
    classNames: store.classNames,
    shardHashes: store.shards.map(({ sha256 }) => sha256),
    progress,
    files,
  };
  const json = Buffer.from(`${JSON.stringify(description, null, 2)}\n`);
  const sums = sumsText({ ...files, [stateFile]: await writeFlushed(path.join(folder, stateFile), [json]) });
  await writeFlushed(path.join(folder, sumsFile), [Buffer.from(sums)]);
}

/** Replaces a folder. A crash at any moment leaves the old one, under its name or set aside, or the new one. */
async function replace(target: string, by: string): Promise<void> {
  const aside = `${target}.replaced`;
  if (await exists(target)) await rename(target, aside);
  await rename(by, target);
  await rm(aside, { recursive: true, force: true });
}

/** Writes a file's parts in order, and waits until they are on disk. */
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

/** Points a relative link at a checkpoint. The link is replaced by renaming, so that it exists at any moment. */
export async function pointLinkAt(directory: string, link: 'latest' | 'best', name: string): Promise<void> {
  const aside = path.join(directory, `${link}.partial`);
  await rm(aside, { force: true });
  await symlink(name, aside);
  await rename(aside, path.join(directory, link));
}

/** Removes a checkpoint. Renaming it first ensures that no reader takes a half-removed folder for a checkpoint. */
export async function removeCheckpoint(checkpoint: string): Promise<void> {
  const partial = `${checkpoint}.partial`;
  await rm(partial, { recursive: true, force: true });
  await rename(checkpoint, partial);
  await rm(partial, { recursive: true });
}

/** Removes folders that a crash left half written or half removed. */
export async function removeLeftovers(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (/\.(partial|replaced)$/.test(name)) await rm(path.join(directory, name), { recursive: true });
  }
}

/**
 * Makes a checkpoint the newest in its folder again: later ones are renamed to `step-….superseded`, and the links are set
 * back.
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
  // It may have been removed after a later, better checkpoint.
  if (best !== null && (await exists(path.join(directory, best)))) await pointLinkAt(directory, 'best', best);
  else await rm(path.join(directory, 'best'), { force: true });
}

export async function exists(location: string): Promise<boolean> {
  return (await lstat(location).catch(() => undefined)) !== undefined;
}

/** Paths of the checkpoints in a folder, oldest first; empty if the folder does not exist. */
export async function listCheckpoints(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(ifMissing<string[]>([]));
  return names
    .filter((name) => /^step-\d{8,}$/.test(name))
    .toSorted()
    .map((name) => path.join(directory, name));
}
