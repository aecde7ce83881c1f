// Reads the pretrained weights that a run can start with instead of random ones, either from a safetensors file, such
// as one written by `export`, or from a checkpoint.
import { readFile, stat } from 'node:fs/promises';
import { LockstepError, messageOf, systemCodeOf } from '../../../shared/errors.js';
import { weightsSha256 } from '../../../shared/network/layout-hash.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import { decodeSafetensors, namedArraysOf, type NamedArray } from '../../../shared/network/safetensors.js';
import { gatherVector, loadCheckpoint } from './load-checkpoint.js';

export interface PretrainedWeights {
  /** Trainable weights as a flat vector, in layout order. */
  weights: Float32Array;
  movingStatistics: Float32Array;
  /** Hash of the weights and moving statistics; see weightsSha256. */
  sha256: string;
}

/** Names of arrays that an export may contain in addition to the network's arrays. */
const otherArrays = /^preprocessing\//;

/**
 * Reads pretrained weights. Throws `bad-data` if the file does not exist, cannot be read, belongs to a different model,
 * or contains non-finite values, and `no-checkpoint` for a directory without a checkpoint.
 * @param location a safetensors file, a checkpoint, or a run directory, whose newest checkpoint is used
 */
export async function readPretrainedWeights(location: string, layout: ModelLayout): Promise<PretrainedWeights> {
  const arrays = await readArrays(location);
  const weights = gatherVector(arrays, layout.weights, (problem) => doesNotFit(location, problem));
  const movingStatistics = gatherVector(arrays, layout.statistics, (problem) => doesNotFit(location, problem));
  const known = new Set([...layout.weights, ...layout.statistics].map(({ name }) => name));
  const unknown = [...arrays.keys()].find((name) => !known.has(name) && !otherArrays.test(name));
  if (unknown !== undefined) throw doesNotFit(location, `this model has no ${unknown}`);
  const notFinite = [...arrays.values()].find(({ values }) => !values.every(Number.isFinite));
  if (notFinite !== undefined) throw badWeights(`${location}: ${notFinite.name} has values that are not finite`);
  return { weights, movingStatistics, sha256: weightsSha256(weights, movingStatistics) };
}

async function readArrays(location: string): Promise<Map<string, NamedArray>> {
  try {
    if ((await stat(location)).isDirectory()) return await arraysOfCheckpoint(location);
    return decodeSafetensors(await readFile(location), location);
  } catch (cause) {
    if (cause instanceof LockstepError && cause.code === 'no-checkpoint') throw cause;
    const code = cause instanceof LockstepError ? undefined : systemCodeOf(cause);
    if (code === undefined) throw badWeights(messageOf(cause), cause);
    const problem = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`;
    throw badWeights(`${location} ${problem}: specify a safetensors file or a checkpoint`, cause);
  }
}

async function arraysOfCheckpoint(location: string): Promise<Map<string, NamedArray>> {
  const { layout, weights, movingStatistics } = await loadCheckpoint(location);
  const arrays = [...namedArraysOf(weights, layout.weights), ...namedArraysOf(movingStatistics, layout.statistics)];
  return new Map(arrays.map((array) => [array.name, array]));
}

function badWeights(problem: string, cause?: unknown): LockstepError {
  return new LockstepError('bad-data', `cannot use \`initialWeights\`: ${problem}`, { cause });
}

function doesNotFit(location: string, problem: string): LockstepError {
  return badWeights(
    `${location} belongs to a different model: ${problem}. The model is set by \`depth\`, \`initialFilters\`, ` +
      '`shortcut` and `convBias`, and by the channels and classes of the images',
  );
}
