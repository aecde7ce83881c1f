// Uses the built package, imported by name.
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { loadCifar10, LockstepError, startCoordinator, startWorker, train } from 'lockstep';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';

const inFolder = folderPerFile();
const small = { depth: 8, initialFilters: 4, batchSize: 32, steps: 3 } as const;
const dataset = synthesizeDataset({ trainingImages: 100, testImages: 50 });

describe("import … from 'lockstep'", () => {
  it('trains on this machine with worker processes, emits steps, and resolves with the report', async () => {
    const run = await train({ ...small, dataset, workers: 2, engine: 'wasm', runDir: inFolder('train') });
    const losses: number[] = [];
    run.events.on('step', ({ loss }) => losses.push(loss));
    const report = await run.report;
    expect(losses).toHaveLength(3);
    expect(report).toMatchObject({ steps: 3, imagesSeen: 96, workersJoined: 2, exact: true });
    expect(report.engines).toEqual([expect.objectContaining({ engine: 'wasm', workers: 2 })]);
    expect(report.weightsSha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it('starts a coordinator, and a worker with a custom engine', async () => {
    const coordinator = await startCoordinator({ ...small, dataset, port: 0, runDir: inFolder('halves') });
    const worker = await startWorker({ url: coordinator.url, engine: fakeEngine(), cache: null });
    expect((await coordinator.report).steps).toBe(3);
    expect(await worker.done).toEqual({ reason: 'the run has ended', images: 96 });
  });

  it('stops after the current step with a checkpoint, and the report rejects with `interrupted`', async () => {
    const options = { ...small, steps: 100_000, dataset, port: 0, runDir: inFolder('stopped') };
    const coordinator = await startCoordinator(options);
    await startWorker({ url: coordinator.url, engine: fakeEngine(), cache: null });
    await once(coordinator.events, 'step');
    const saved = once(coordinator.events, 'checkpoint');
    coordinator.stop();
    await expect(coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
    expect((await saved)[0]).toMatchObject({ path: expect.stringContaining('step-') });
  });

  it('rejects with a LockstepError that has a code', async () => {
    await expect(train({ depth: 21 })).rejects.toBeInstanceOf(LockstepError);
    await expect(train({ depth: 21 })).rejects.toMatchObject({ code: 'bad-config' });
    await expect(train({ ...small, dataset, workers: 0 })).rejects.toMatchObject({ code: 'bad-option' });
  });

  it('loads a folder of CIFAR-10 files', async () => {
    await writeCifar10(inFolder('images'), dataset);
    expect((await loadCifar10(inFolder('images'))).test.length).toBe(50 * 3073);
  });
});
