import { mkdir, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { CheckpointManager } from '../../../coordinator/run/checkpoint-manager.js';
import { returnTo } from '../../../coordinator/run/checkpoint.js';
import { loadCheckpoint } from '../../../coordinator/run/load-checkpoint.js';
import { newWriter, progress, stateAt } from '../../support/small-checkpoint.js';

async function newKeeper(keep: number | null) {
  const writer = await newWriter();
  const keeper = new CheckpointManager({ ...writer, keep, from: undefined });
  /** Saves a step; with an accuracy it has been validated. */
  const save = (step: number, accuracy?: number) => {
    const validation = accuracy === undefined ? null : { step, loss: 1, accuracy };
    return keeper.save(stateAt(step), { ...progress, validation });
  };
  const names = async () => (await readdir(writer.directory)).map((name) => name.replace('step-000000', '')).toSorted();
  const best = () => readlink(path.join(writer.directory, 'best'));
  return { directory: writer.directory, keeper, save, names, best };
}

describe('checkpoints', () => {
  it('all stay unless said', async () => {
    const { save, names, keeper, directory } = await newKeeper(null);
    expect(keeper.newest).toBeUndefined();
    for (const step of [1, 2, 3]) await save(step);
    expect(await names()).toEqual(['01', '02', '03', 'latest']);
    expect(keeper.newest).toBe(path.join(directory, 'step-00000003'));
  });

  it('that are not among the newest go, but the best by validation accuracy stays', async () => {
    const { save, names, best } = await newKeeper(2);
    await save(10, 0.5);
    await save(15);
    await save(20, 0.7);
    await save(25);
    await save(30, 0.6);
    await save(35);
    expect(await names()).toEqual(['20', '30', '35', 'best', 'latest']);
    expect(await best()).toBe('step-00000020');
    // As good is not better: the earlier one stays.
    await save(40, 0.7);
    expect(await best()).toBe('step-00000020');
    await save(50, 0.8);
    expect(await best()).toBe('step-00000050');
    expect(await names()).toEqual(['40', '50', 'best', 'latest']);
  });

  it('are one beside the best where one is to be kept', async () => {
    const { save, names } = await newKeeper(1);
    for (const step of [1, 2, 3]) await save(step);
    expect(await names()).toEqual(['03', 'latest']);
  });

  it('of a validation of other weights are not the best', async () => {
    const { directory, keeper, names } = await newKeeper(null);
    const validation = { step: 10, loss: 1, accuracy: 0.9 };
    await keeper.save(stateAt(12), { ...progress, validation });
    expect(await names()).toEqual(['12', 'latest']);
    expect((await loadCheckpoint(directory)).progress.best).toBeNull();
  });

  it('know the best until then, so that a resumed run goes on with it', async () => {
    const { directory, save } = await newKeeper(null);
    await save(10, 0.5);
    await save(20, 0.4);
    expect((await loadCheckpoint(directory)).progress.best).toEqual({ step: 10, accuracy: 0.5 });
    const from = await loadCheckpoint(directory);
    const writer = { ...(await newWriter()), directory };
    const resumed = new CheckpointManager({ ...writer, keep: 1, from });
    const validation = { step: 30, loss: 1, accuracy: 0.45 };
    await resumed.save(stateAt(30), { ...progress, validation });
    expect((await readdir(directory)).toSorted()).toEqual(['best', 'latest', 'step-00000010', 'step-00000030']);
  });

  it('returned to make later ones superseded, and best points at what it did then, or at nothing that is gone', async () => {
    const { directory, save, names, best } = await newKeeper(3);
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

  it('and what else lies there stays', async () => {
    const { directory, save, names } = await newKeeper(1);
    await mkdir(directory, { recursive: true });
    await writeFile(path.join(directory, 'notes.txt'), 'mine');
    await mkdir(path.join(directory, 'step-00000001.superseded'));
    for (const step of [1, 2]) await save(step);
    expect(await names()).toEqual(['01.superseded', '02', 'latest', 'notes.txt']);
  });
});
