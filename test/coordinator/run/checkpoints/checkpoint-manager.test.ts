import { mkdir, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { CheckpointManager } from '../../../../coordinator/run/checkpoints/checkpoint-manager.js';
import { returnTo } from '../../../../coordinator/run/checkpoints/checkpoint.js';
import { loadCheckpoint } from '../../../../coordinator/run/checkpoints/load-checkpoint.js';
import type { RunSetup } from '../../../../coordinator/run/run-setup.js';
import { newDirectory, progress, setup, stateAt } from '../../../support/small-checkpoint.js';

const keeping = (keepCheckpoints: number | null): RunSetup => ({
  ...setup,
  config: { ...setup.config, keepCheckpoints },
});

async function newManager(keepCheckpoints: number | null) {
  const directory = await newDirectory();
  const manager = new CheckpointManager(directory, keeping(keepCheckpoints));
  /** Saves a checkpoint of the given step, with a validation result if an accuracy is given. */
  const save = (step: number, accuracy?: number) => {
    const validation = accuracy === undefined ? null : { step, loss: 1, accuracy };
    return manager.save(stateAt(step), { ...progress, validation });
  };
  const names = async () => (await readdir(directory)).map((name) => name.replace('step-000000', '')).toSorted();
  const best = () => readlink(path.join(directory, 'best'));
  return { directory, manager, save, names, best };
}

describe('checkpoints', () => {
  it('are all kept by default', async () => {
    const { save, names, manager, directory } = await newManager(null);
    expect(manager.describeLastCheckpoint()).toBe('no checkpoint has been saved');
    for (const step of [1, 2, 3]) await save(step);
    expect(await names()).toEqual(['01', '02', '03', 'latest']);
    expect(manager.describeLastCheckpoint()).toBe(`the last checkpoint is ${path.join(directory, 'step-00000003')}`);
  });

  it('other than the newest are removed, except the one with the best validation accuracy', async () => {
    const { save, names, best } = await newManager(2);
    await save(10, 0.5);
    await save(15);
    await save(20, 0.7);
    await save(25);
    await save(30, 0.6);
    await save(35);
    expect(await names()).toEqual(['20', '30', '35', 'best', 'latest']);
    expect(await best()).toBe('step-00000020');
    // If a later accuracy is equal, the earlier checkpoint stays the best.
    await save(40, 0.7);
    expect(await best()).toBe('step-00000020');
    await save(50, 0.8);
    expect(await best()).toBe('step-00000050');
    expect(await names()).toEqual(['40', '50', 'best', 'latest']);
  });

  it('can be limited to the newest and the best', async () => {
    const { save, names } = await newManager(1);
    for (const step of [1, 2, 3]) await save(step);
    expect(await names()).toEqual(['03', 'latest']);
  });

  it('do not become the best because of a validation of other weights', async () => {
    const { directory, manager, names } = await newManager(null);
    const validation = { step: 10, loss: 1, accuracy: 0.9 };
    await manager.save(stateAt(12), { ...progress, validation });
    expect(await names()).toEqual(['12', 'latest']);
    expect((await loadCheckpoint(directory)).progress.best).toBeNull();
  });

  it('record the best one so far, so that a resumed run keeps it', async () => {
    const { directory, save } = await newManager(null);
    await save(10, 0.5);
    await save(20, 0.4);
    expect((await loadCheckpoint(directory)).progress.best).toEqual({ step: 10, accuracy: 0.5 });
    const resumed = new CheckpointManager(directory, keeping(1), await loadCheckpoint(directory));
    const validation = { step: 30, loss: 1, accuracy: 0.45 };
    await resumed.save(stateAt(30), { ...progress, validation });
    expect((await readdir(directory)).toSorted()).toEqual(['best', 'latest', 'step-00000010', 'step-00000030']);
  });

  it('that a run returns to supersede later ones, and `best` points to its earlier target again if that still exists', async () => {
    const { directory, save, names, best } = await newManager(3);
    await save(10, 0.5);
    await save(15);
    await save(20, 0.6);
    await returnTo(directory, await loadCheckpoint(path.join(directory, 'step-00000015')));
    expect(await names()).toEqual(['10', '15', '20.superseded', 'best', 'latest']);
    expect(await best()).toBe('step-00000010');
    await rm(path.join(directory, 'step-00000010'), { recursive: true });
    await returnTo(directory, await loadCheckpoint(directory));
    expect(await names()).toEqual(['15', '20.superseded', 'latest']);
  });

  it('are the only files that are ever removed', async () => {
    const { directory, save, names } = await newManager(1);
    await mkdir(directory, { recursive: true });
    await writeFile(path.join(directory, 'notes.txt'), 'mine');
    await mkdir(path.join(directory, 'step-00000001.superseded'));
    for (const step of [1, 2]) await save(step);
    expect(await names()).toEqual(['01.superseded', '02', 'latest', 'notes.txt']);
  });
});
