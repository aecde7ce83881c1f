// Reads the pretrained weights that a run can start with instead of random ones, either from a safetensors file, such
// as one written by `export`, or from a checkpoint.
import { readFile, stat } from 'node:fs/promises';
import { LockstepError, messageOf, systemCodeOf } from '../../../shared/errors.js';
import { weightsSha256 } from '../../../shared/network/layout-hash.js';
import type { ArrayLayout, ModelLayout } from '../../../shared/network/layout.js';
import type { NamedArray } from '../../../shared/network/named-array.js';
import { decodeSafetensors, namedArraysOf } from '../../../shared/network/safetensors.js';
import type { SavedState } from './checkpoint.js';
import { loadCheckpoint } from './load-checkpoint.js';

export interface PretrainedWeights {
  /** File or checkpoint that the arrays are from. */
  location: string;
  /** Arrays of the network whose names and shapes are the same in the file, in layout order. */
  loaded: readonly NamedArray[];
  /** Names of the network's other arrays, which keep their initial values. */
  missing: readonly string[];
  /** Names of the file's other arrays, which are not used. */
  unused: readonly string[];
  /**
   * Hash of the loaded arrays, in layout order; see weightsSha256. If all arrays are loaded, it is the hash of the run that
   * the weights are from.
   */
  sha256: string;
}

/** State of a run before its first step. */
export type InitialState = Pick<SavedState, 'weights' | 'movingStatistics'>;

/** Names of arrays that an export may contain in addition to the network's arrays. */
const otherArrays = /^preprocessing\//;

/**
 * Reads pretrained weights: the arrays whose names and shapes are those of the network. Throws `bad-data` if the file does
 * not exist, cannot be read, has no such array, lacks a frozen array, or contains non-finite values, and `no-checkpoint` for a
 * directory without a checkpoint.
 * @param location a safetensors file, a checkpoint, or a run directory, whose newest checkpoint is used
 */
export async function readPretrainedWeights(location: string, layout: ModelLayout): Promise<PretrainedWeights> {
  const arrays = await readArrays(location);
  const notFinite = [...arrays.values()].find(({ values }) => !values.every(Number.isFinite));
  if (notFinite !== undefined) throw badWeights(`${location}: ${notFinite.name} has values that are not finite`);
  const matching = (layouts: readonly ArrayLayout[]) =>
    layouts.flatMap(({ name, shape }) => {
      const array = arrays.get(name);
      return array !== undefined && array.shape.join() === shape.join() ? [array] : [];
    });
  const [weights, statistics] = [matching(layout.weights), matching(layout.statistics)];
  const loaded = [...weights, ...statistics];
  if (loaded.length === 0) {
    throw badWeights(
      `${location} has no array with a name and shape of the network ${layout.graph.name}: ${describeDifference(arrays, layout)}`,
    );
  }
  const names = new Set(loaded.map(({ name }) => name));
  // A whitening kernel is measured on the images, so it is useful without pretrained weights.
  const random = layout.weights.find(
    ({ name, trainable, initializer }) => !trainable && initializer !== 'whitening' && !names.has(name),
  );
  if (random !== undefined) {
    throw badWeights(
      `${location} has no ${random.name} [${random.shape.join(', ')}], which is frozen and would keep its initial values: freeze only ` +
        'arrays that are loaded, or set `network` to the network that the weights are from',
    );
  }
  return {
    location,
    loaded,
    missing: [...layout.weights, ...layout.statistics].map(({ name }) => name).filter((name) => !names.has(name)),
    unused: [...arrays.keys()].filter((name) => !names.has(name) && !otherArrays.test(name)),
    sha256: weightsSha256(concatenated(weights), concatenated(statistics)),
  };
}

/** Copies the loaded arrays to their places in the vectors. */
export function copyPretrained(
  { loaded }: PretrainedWeights,
  layout: ModelLayout,
  { weights, movingStatistics }: InitialState,
): void {
  const values = new Map(loaded.map((array) => [array.name, array.values]));
  const copy = (arrays: readonly ArrayLayout[], vector: Float32Array) => {
    for (const { name, offset } of arrays) vector.set(values.get(name) ?? [], offset);
  };
  copy(layout.weights, weights);
  copy(layout.statistics, movingStatistics);
}

function concatenated(arrays: readonly NamedArray[]): Float32Array {
  const vector = new Float32Array(arrays.reduce((sum, { values }) => sum + values.length, 0));
  let at = 0;
  for (const { values } of arrays) {
    vector.set(values, at);
    at += values.length;
  }
  return vector;
}

function describeDifference(arrays: ReadonlyMap<string, NamedArray>, { weights: [first] }: ModelLayout): string {
  const describe = ({ name, shape }: Pick<NamedArray, 'name' | 'shape'>) => `${name} [${shape.join(', ')}]`;
  const [given] = arrays.values();
  const start = given === undefined ? 'it is empty' : `it begins with ${describe(given)}`;
  return first === undefined ? 'the network has no arrays' : `${start}, and the network with ${describe(first)}`;
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
