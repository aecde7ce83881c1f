// One step of a tiny network whose result with each wasm engine is the same on every machine.
import { createHash } from 'node:crypto';
import { initialMovingStatistics, initialWeights } from '../../../coordinator/optimizer/initial-weights.js';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { augmentationsOf } from '../../../shared/dataset/partition.js';
import { synthesizeRecords } from '../../../shared/dataset/synthesize.js';
import { littleEndianBytes } from '../../../shared/network/layout-hash.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { resnet } from '../../../shared/network/networks/resnet.js';
import type { Engine } from '../../../worker/engine.js';
import type { WasmEngineName } from '../../../worker/engines/wasm/wasm-engine.js';

/** SHA-256 of the gradient and the batch statistics computed by each wasm engine. */
export const stepSha256: Readonly<Record<WasmEngineName, string>> = {
  wasm: '464988b28bc847063bc3198e5bad2c4dd6c0640befbe1289c30ccc394346bec5',
  'wasm-fma': '3fcfa269fd15a334226471cc57228e3774744b1c2126eeaa69fa3766e6376235',
};

const spec = { depth: 8, initialFilters: 4, shortcut: 'projection', convBias: true, bnEpsilon: 0.001 } as const;
const layout = layoutNetwork(resnet(spec), cifar10Format);
const count = 16;

export interface ComputedStep {
  sha256: string;
  gradient: Float32Array;
}

/** Computes the test step. Weights, images and augmentations derive from seed 0. */
export async function computeStep(engine: Engine): Promise<ComputedStep> {
  const model = await engine.createModel(layout, 'imagenet');
  try {
    model.setWeights(initialWeights(layout, 0), initialMovingStatistics(layout));
    const records = synthesizeRecords({ seed: 0, split: 'training', count });
    const indices = Uint32Array.from({ length: count }, (_, index) => index);
    const augmentations = augmentationsOf({ seed: 0, step: 0, slice: 0, count, augment: true });
    const { gradientSum, batchStatistics } = await model.computeSlice({
      records,
      format: cifar10Format,
      indices,
      augmentations,
    });
    const hash = createHash('sha256').update(littleEndianBytes(gradientSum)).update(littleEndianBytes(batchStatistics));
    return { sha256: hash.digest('hex'), gradient: gradientSum.slice() };
  } finally {
    model.dispose();
  }
}

/** Returns |actual − expected| / |expected| in the Euclidean norm. NaN if one of the vectors contains NaN. */
export function relativeDistance(actual: Float32Array, expected: Float32Array): number {
  const squaredLength = (values: Float32Array) => values.reduce((sum, value) => sum + value * value, 0);
  return Math.sqrt(squaredLength(actual.map((value, i) => value - expected[i])) / squaredLength(expected));
}
