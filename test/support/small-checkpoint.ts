// The state of a tiny model in which every value tells its place, its vector and its step.
import { createHash } from 'node:crypto';
import path from 'node:path';
import type { CheckpointWriter, RunProgress, TrainingState } from '../../coordinator/run/checkpoint.js';
import { resolveConfig } from '../../shared/config/config.js';
import { layoutModel } from '../../shared/network/layout.js';
import { temporaryFolder } from './temporary-folder.js';

export const config = resolveConfig({ depth: 8, initialFilters: 4, seed: 9 });
export const layout = layoutModel(config);
export const classNames = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];
export const shardHashes = ['a', 'b'].map((text) => createHash('sha256').update(text).digest('hex'));

export const progress: RunProgress = {
  imagesSeen: 1280,
  epochSums: { sampleCount: 256, lossSum: 0.1 + 0.2, correctCount: 25 },
  validation: { step: 5, loss: 2.25, accuracy: 0.125 },
  best: { step: 5, accuracy: 0.125 },
  ledger: {
    workersJoined: 3,
    workersLost: 1,
    slicesReassigned: 2,
    stragglers: 4,
    slicesDuplicated: 5,
    engines: [{ engine: 'fake', fingerprint: 'fake/1', workers: 3 }],
    resumedAtSteps: [2],
    isOverridden: false,
  },
};

export function stateAt(step: number): TrainingState {
  const rising = (size: number, shift: number) =>
    Float32Array.from({ length: size }, (_, i) => i + shift + step / 1024);
  return {
    step,
    weights: rising(layout.trainableSize, 0),
    velocity: rising(layout.trainableSize, 0.5),
    movingStatistics: rising(layout.statisticsSize, 0.25),
  };
}

/** Writes into `checkpoints` of a folder of its own, which is as a run's. */
export async function newWriter(): Promise<CheckpointWriter> {
  return {
    directory: path.join(await temporaryFolder(), 'checkpoints'),
    layout,
    config,
    preprocessing: 'imagenet',
    classNames,
    shardHashes,
  };
}
