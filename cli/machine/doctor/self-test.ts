// One step of a tiny network, whose bits on the wasm engine are known: whether this machine computes what others do.
import { createHash } from 'node:crypto';
import { initialMovingStatistics, initialWeights } from '../../../coordinator/optimizer/initial-weights.js';
import { augmentationsOf } from '../../../shared/dataset/partition.js';
import { synthesizeRecords } from '../../../shared/dataset/synthesize.js';
import { littleEndianBytes } from '../../../shared/network/layout-hash.js';
import { layoutModel } from '../../../shared/network/layout.js';
import type { Engine } from '../../../worker/engine.js';

/** Of the gradient and the batch statistics; what the wasm engine gives on every machine. */
export const wasmStepSha256 = '464988b28bc847063bc3198e5bad2c4dd6c0640befbe1289c30ccc394346bec5';

const layout = layoutModel({ depth: 8, initialFilters: 4, shortcut: 'projection', convBias: true, bnEpsilon: 0.001 });
const count = 16;

export interface ComputedStep {
  sha256: string;
  gradient: Float32Array;
}

/** Always the same step: everything in it is keyed by seed 0. */
export async function computeStep(engine: Engine): Promise<ComputedStep> {
  const model = await engine.createModel(layout, 'imagenet');
  try {
    model.setWeights(initialWeights(layout, 0), initialMovingStatistics(layout));
    const records = synthesizeRecords({ seed: 0, split: 'training', count });
    const indices = Uint32Array.from({ length: count }, (_, place) => place);
    const augmentations = augmentationsOf({ seed: 0, step: 0, slice: 0, count, augment: true });
    const { gradientSum, batchStatistics } = await model.computeSlice({ records, indices, augmentations });
    const hash = createHash('sha256').update(littleEndianBytes(gradientSum)).update(littleEndianBytes(batchStatistics));
    return { sha256: hash.digest('hex'), gradient: gradientSum.slice() };
  } finally {
    model.dispose();
  }
}

/** The length of the difference, as a part of the expected gradient's. Not a number where one of them has any. */
export function distanceBetween(actual: Float32Array, expected: Float32Array): number {
  const squares = (values: Float32Array) => values.reduce((sum, value) => sum + value * value, 0);
  return Math.sqrt(squares(actual.map((value, i) => value - expected[i])) / squares(expected));
}
