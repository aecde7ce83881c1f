// A run's whole state on disk: safetensors for the arrays, JSON for the rest; written whole, then renamed.
// load-checkpoint.ts reads it back.
import { createHash } from 'node:crypto';
import { lstat, mkdir, open, readdir, rename, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../../shared/config/config.js';
import type { Preprocessing } from '../../shared/dataset/image-batch.js';
import { measuredArraysOf } from '../../shared/dataset/measured-preprocessing.js';
import { layoutHash, weightsSha256 } from '../../shared/network/layout-hash.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { encodeSafetensors, namedArraysOf } from '../../shared/network/safetensors.js';
import { lockstepVersion } from '../../shared/version.js';
import type { BatchSums, Metrics } from './metrics.js';
import type { TotalsRecord } from './report.js';

/** Everything a run's future depends on, beside its configuration and its images. */
export interface TrainingState {
  /** Updates made. */
  step: number;
  weights: Float32Array;
  velocity: Float32Array;
  movingStatistics: Float32Array;
}

export interface BestValidation {
  step: number;
  accuracy: number;
}

/** What a run's report and its later checkpoints depend on, beside its state. */
export interface RunProgress {
  /** Training images over all steps. */
  imagesSeen: number;
  /** Over the steps of the running epoch. */
  epochSums: BatchSums;
  /** The latest validation; of this very state where the step is its own. */
  validation: (Metrics & { step: number }) | null;
  /** The highest accuracy of a validation, and the step whose checkpoint `best` points at. */
  best: BestValidation | null;
  ledger: TotalsRecord;
}

export interface CheckpointWriter {
  directory: string;
  layout: ModelLayout;
  config: Config;
  preprocessing: Preprocessing;
  /** Ten names, in the order of the labels. */
  classNames: readonly string[];
  /** The SHA-256 of each shard, in order: a run resumed on other images would not be the same run. */
  shardHashes: readonly string[];
}

/** A file of a checkpoint as it must be. */
export interface FileSum {
  bytes: number;
  /** In hex. */
  sha256: string;
}

/** The arrays' files: trainable weights and moving statistics; velocity. */
export const modelFile = 'model.safetensors';
export const optimizerFile = 'optimizer.safetensors';
/** What preprocessing subtracts and divides by, where it was measured over the training images. */
export const preprocessingFile = 'preprocessing.safetensors';
/** All that is not an array. */
export const stateFile = 'state.json';
/** The hash of each other file, in the form of `sha256sum`: `sha256sum -c SHA256SUMS` checks a checkpoint by hand. */
export const sumsFile = 'SHA256SUMS';

/** `step-00000351` */
export function checkpointName(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

/** What SHA256SUMS says of these files. */
export function sumsText(files: Readonly<Record<string, FileSum>>): string {
  return Object.entries(files)
    .map(([name, { sha256 }]) => `${sha256}  ${name}\n`)
    .join('');
}

/**
 * Writes `<directory>/step-…/{model,optimizer}.safetensors, state.json, SHA256SUMS`, and preprocessing.safetensors where
 * preprocessing was measured, and points `<directory>/latest` at it. Whoever looks sees the whole checkpoint or none of it. @returns the checkpoint's path
 */
export async function saveCheckpoint(
  writer: CheckpointWriter,
  state: TrainingState,
  progress: RunProgress,
): Promise<string> {
  const { directory } = writer;
  const target = path.join(directory, checkpointName(state.step));
  const partial = `${target}.partial`;
  await rm(partial, { recursive: true, force: true });
  try {
    await writeInto(partial, writer, state, progress);
    await replace(target, partial);
  } catch (error) {
    // On a full disk this is what makes room again.
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
  await pointLinkAt(directory, 'latest', checkpointName(state.step));
  return target;
}

async function writeInto(
  folder: string,
  { layout, config, preprocessing, classNames, shardHashes }: CheckpointWriter,
  state: TrainingState,
  progress: RunProgress,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const measured = measuredArraysOf(preprocessing);
  const arrays = {
    [modelFile]: [
      ...namedArraysOf(state.weights, layout.trainable),
      ...namedArraysOf(state.movingStatistics, layout.statistics),
    ],
    [optimizerFile]: namedArraysOf(state.velocity, layout.trainable),
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
    config,
    classNames,
    shardHashes,
    progress,
    files,
  };
  const json = Buffer.from(`${JSON.stringify(description, null, 2)}\n`);
  const sums = sumsText({ ...files, [stateFile]: await writeFlushed(path.join(folder, stateFile), [json]) });
  await writeFlushed(path.join(folder, sumsFile), [Buffer.from(sums)]);
}

/** Puts a folder in another's place, which a crash at any moment leaves as it was, beside its name, or replaced. */
async function replace(target: string, by: string): Promise<void> {
  const aside = `${target}.replaced`;
  if (await isThere(target)) await rename(target, aside);
  await rename(by, target);
  await rm(aside, { recursive: true, force: true });
}

/** Writes parts one after the other and waits until they are on the disk. */
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

/** Points a relative link at a checkpoint: made aside and renamed over the old one, so that there is always one. */
export async function pointLinkAt(directory: string, link: 'latest' | 'best', name: string): Promise<void> {
  const aside = path.join(directory, `${link}.partial`);
  await rm(aside, { force: true });
  await symlink(name, aside);
  await rename(aside, path.join(directory, link));
}

/** Removes a checkpoint. It is none any more before its first file is gone. */
export async function removeCheckpoint(checkpoint: string): Promise<void> {
  const partial = `${checkpoint}.partial`;
  await rm(partial, { recursive: true, force: true });
  await rename(checkpoint, partial);
  await rm(partial, { recursive: true });
}

/** Removes what a crash has left half written or half removed. */
export async function removeLeavings(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (/\.(partial|replaced)$/.test(name)) await rm(path.join(directory, name), { recursive: true });
  }
}

/**
 * Makes a checkpoint the newest of its folder again: later ones are set aside as `step-….superseded`, and the links point
 * as they pointed then.
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
  // A later best one may have made it go.
  if (best !== null && (await isThere(path.join(directory, best)))) await pointLinkAt(directory, 'best', best);
  else await rm(path.join(directory, 'best'), { force: true });
}

export async function isThere(place: string): Promise<boolean> {
  return (await lstat(place).catch(() => undefined)) !== undefined;
}

/** The checkpoints in a folder, oldest first, as paths; none where there is no folder. */
export async function listCheckpoints(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names
    .filter((name) => /^step-\d{8,}$/.test(name))
    .toSorted()
    .map((name) => path.join(directory, name));
}
