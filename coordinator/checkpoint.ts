// A run's whole state on disk: safetensors for the arrays, JSON for the rest; written whole, then renamed.
// load-checkpoint.ts reads it back.
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../shared/config.js';
import { layoutHash, weightsSha256 } from '../shared/model/layout-hash.js';
import type { ModelLayout } from '../shared/model/layout.js';
import { encodeSafetensors, namedArraysOf } from '../shared/safetensors.js';
import { lockstepVersion } from '../shared/version.js';

/** Everything a run's future depends on, beside its configuration and its images. */
export interface TrainingState {
  /** Updates made. */
  step: number;
  weights: Float32Array;
  velocity: Float32Array;
  movingStatistics: Float32Array;
}

export interface CheckpointWriter {
  directory: string;
  layout: ModelLayout;
  config: Config;
  /** The SHA-256 of each piece, in order: a run resumed on other images would not be the same run. */
  pieceHashes: readonly string[];
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
 * Writes `<directory>/step-…/{model,optimizer}.safetensors, state.json, SHA256SUMS` and points `<directory>/latest` at
 * it. Whoever looks sees the whole checkpoint or none of it. @returns the checkpoint's path
 */
export async function saveCheckpoint(writer: CheckpointWriter, state: TrainingState): Promise<string> {
  const { directory, layout } = writer;
  const target = path.join(directory, checkpointName(state.step));
  const partial = `${target}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  const arrays = {
    [modelFile]: [
      ...namedArraysOf(state.weights, layout.trainable),
      ...namedArraysOf(state.movingStatistics, layout.statistics),
    ],
    [optimizerFile]: namedArraysOf(state.velocity, layout.trainable),
  };
  const files: Record<string, FileSum> = {};
  for (const [name, named] of Object.entries(arrays)) {
    files[name] = await writeFlushed(path.join(partial, name), encodeSafetensors(named, { format: 'lockstep' }));
  }
  const description = {
    lockstepVersion,
    step: state.step,
    weightsSha256: weightsSha256(state.weights, state.movingStatistics),
    layoutHash: layoutHash(layout),
    config: writer.config,
    pieceHashes: writer.pieceHashes,
    files,
  };
  const json = Buffer.from(`${JSON.stringify(description, null, 2)}\n`);
  const sums = sumsText({ ...files, [stateFile]: await writeFlushed(path.join(partial, stateFile), [json]) });
  await writeFlushed(path.join(partial, sumsFile), [Buffer.from(sums)]);
  await rm(target, { recursive: true, force: true });
  await rename(partial, target);
  await pointLatestAt(directory, checkpointName(state.step));
  return target;
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

/** A relative link, made aside and renamed over the old one, so that there is always one. */
async function pointLatestAt(directory: string, name: string): Promise<void> {
  const aside = path.join(directory, 'latest.partial');
  await rm(aside, { force: true });
  await symlink(name, aside);
  await rename(aside, path.join(directory, 'latest'));
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
