// Weights that a run begins with instead of drawn ones: from a safetensors file as export writes it, or from a checkpoint.
import { readFile, stat } from 'node:fs/promises';
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { weightsSha256 } from '../../shared/network/layout-hash.js';
import type { ArrayLayout, ModelLayout } from '../../shared/network/layout.js';
import { decodeSafetensors, namedArraysOf, type NamedArray } from '../../shared/network/safetensors.js';
import { loadCheckpoint } from './load-checkpoint.js';

export interface PretrainedWeights {
  /** The trainable vector. */
  weights: Float32Array;
  movingStatistics: Float32Array;
  /** Of both: see weightsSha256. */
  sha256: string;
}

/** Arrays that an export may hold beside the network's own. */
const otherArrays = /^preprocessing\//;

/**
 * @param location a safetensors file, a checkpoint, or a run's folder, which means its latest
 * Throws `bad-data` where there is nothing, or what is there cannot be read, is of another model or not finite, and
 * `no-checkpoint` for a folder without one.
 */
export async function readPretrainedWeights(location: string, layout: ModelLayout): Promise<PretrainedWeights> {
  const arrays = await arraysAt(location);
  const weights = vectorOf(location, arrays, layout.trainable);
  const movingStatistics = vectorOf(location, arrays, layout.statistics);
  const known = new Set([...layout.trainable, ...layout.statistics].map(({ name }) => name));
  const unknown = [...arrays.keys()].find((name) => !known.has(name) && !otherArrays.test(name));
  if (unknown !== undefined) throw unfit(location, `it has ${unknown}, which this model has not`);
  return { weights, movingStatistics, sha256: weightsSha256(weights, movingStatistics) };
}

async function arraysAt(location: string): Promise<Map<string, NamedArray>> {
  try {
    if ((await stat(location)).isDirectory()) return await arraysOfCheckpoint(location);
    return decodeSafetensors(await readFile(location), location);
  } catch (cause) {
    if (cause instanceof LockstepError && cause.code === 'no-checkpoint') throw cause;
    const code = cause instanceof LockstepError ? undefined : systemCodeOf(cause);
    if (code !== undefined) {
      const what = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`;
      throw new LockstepError(
        'bad-data',
        `--initial-weights ${location} ${what}: name a safetensors file or a checkpoint`,
        { cause },
      );
    }
    throw new LockstepError('bad-data', `--initial-weights: ${messageOf(cause)}`, { cause });
  }
}

async function arraysOfCheckpoint(location: string): Promise<Map<string, NamedArray>> {
  const { layout, weights, movingStatistics } = await loadCheckpoint(location);
  const arrays = [...namedArraysOf(weights, layout.trainable), ...namedArraysOf(movingStatistics, layout.statistics)];
  return new Map(arrays.map((array) => [array.name, array]));
}

function vectorOf(
  location: string,
  arrays: ReadonlyMap<string, NamedArray>,
  places: readonly ArrayLayout[],
): Float32Array {
  const vector = new Float32Array(places.reduce((size, place) => size + place.size, 0));
  for (const { name, shape, offset } of places) {
    const array = arrays.get(name);
    if (array === undefined) throw unfit(location, `it has no ${name}`);
    if (array.shape.join() !== shape.join()) {
      throw unfit(location, `its ${name} is [${array.shape.join(', ')}], not [${shape.join(', ')}]`);
    }
    if (!array.values.every(Number.isFinite)) {
      throw new LockstepError('bad-data', `--initial-weights ${location}: ${name} has values that are not finite`);
    }
    vector.set(array.values, offset);
  }
  return vector;
}

function unfit(location: string, what: string): LockstepError {
  return new LockstepError(
    'bad-data',
    `--initial-weights ${location} is not of this model: ${what}; --depth, --initial-filters, --shortcut and ` +
      '--conv-bias say what the model is',
  );
}
