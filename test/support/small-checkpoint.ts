// State of a tiny model for checkpoint tests. Every value encodes its position, its vector and the step.
import { createHash } from 'node:crypto';
import path from 'node:path';
import type { RunProgress, SavedState } from '../../coordinator/run/checkpoints/checkpoint.js';
import type { RunSetup } from '../../coordinator/run/run-setup.js';
import { describeCifar10 } from '../../shared/dataset/cifar10-layout.js';
import { resolveConfig } from '../../shared/config/config.js';
import type { Preprocessing } from '../../shared/dataset/image-batch.js';
import { temporaryFolder } from './temporary-folder.js';
import { resnetLayout } from './resnet-layout.js';

export const config = resolveConfig({ depth: 8, initialFilters: 4, seed: 9 });
export const layout = resnetLayout(config);
export const classNames = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];
export const dataset = describeCifar10(classNames);
export const shardHashes = ['a', 'b'].map((text) => createHash('sha256').update(text).digest('hex'));

/** Setup of a run with this model, without images. */
export const setup: RunSetup = {
  config,
  layout,
  store: {
    shards: shardHashes.map((sha256, index) => ({ split: 'training', index, sha256, bytes: 0 })),
    records: new Map(),
    labels: { validation: new Uint16Array(), test: new Uint16Array() },
    trainingCount: 0,
    validationCount: 0,
    testCount: 0,
    stepsPerEpoch: 1,
    preprocessing: 'imagenet',
    dataset,
  },
};

/** Returns the same setup with measured preprocessing. */
export function setupWith(preprocessing: Exclude<Preprocessing, string>): RunSetup {
  return {
    ...setup,
    config: resolveConfig({ ...config, preprocessing: preprocessing.name }),
    store: { ...setup.store, preprocessing },
  };
}

export const progress: RunProgress = {
  imagesSeen: 1280,
  epochSums: { sampleCount: 256, lossSum: 0.1 + 0.2, correctCount: 25 },
  validation: { step: 5, loss: 2.25, accuracy: 0.125 },
  best: { step: 5, accuracy: 0.125 },
  totals: {
    workersJoined: 3,
    workersLost: 1,
    slicesReassigned: 2,
    stragglers: 4,
    slicesDuplicated: 5,
    clippedValues: 0,
    fingerprint: 'fake/1',
    engines: [{ engine: 'fake', fingerprint: 'fake/1', workers: 3 }],
    resumedAtSteps: [2],
    isOverridden: false,
  },
};

export function stateAt(step: number): SavedState {
  const rising = (size: number, shift: number) =>
    Float32Array.from({ length: size }, (_, i) => i + shift + step / 1024);
  return {
    step,
    weights: rising(layout.weightsSize, 0),
    optimizerState: { velocity: rising(layout.weightsSize, 0.5) },
    movingStatistics: rising(layout.statisticsSize, 0.25),
  };
}

/** Returns the path of a `checkpoints` folder, not yet created, in a temporary run directory. */
export async function newDirectory(): Promise<string> {
  return path.join(await temporaryFolder(), 'checkpoints');
}
