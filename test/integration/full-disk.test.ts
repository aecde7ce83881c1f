// The disk fills up while a run saves: training continues, earlier checkpoints stay intact, and later ones can succeed.
import type * as fs from 'node:fs/promises';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import type { RunEventOf } from '../../coordinator/run/run-events.js';
import { loadCheckpoint } from '../../coordinator/run/checkpoints/load-checkpoint.js';
import { startCluster } from '../support/local-cluster.js';

/** Returns whether to open /dev/full instead of the file, so that writing fails as on a full disk. */
let isOnFullDisk: (file: string) => boolean = () => false;
vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof fs>();
  const open: typeof fs.open = (file, ...rest) => real.open(isOnFullDisk(String(file)) ? '/dev/full' : file, ...rest);
  return { ...real, open };
});
afterEach(() => {
  isOnFullDisk = () => false;
});

async function runWith(full: RegExp) {
  isOnFullDisk = (file) => full.test(file);
  const cluster = await startCluster({ checkpointEvery: 4 });
  const failures: RunEventOf<'checkpoint-failed'>[] = [];
  cluster.coordinator.events.on('checkpoint-failed', (failure) => failures.push(failure));
  await cluster.join();
  return { cluster, failures, checkpoints: path.join(cluster.coordinator.runDirectory, 'checkpoints') };
}

it.each(['model.safetensors', 'optimizer.safetensors', 'state.json', 'SHA256SUMS'])(
  'if the disk is full while %s of a checkpoint is written, an event reports it, and the next checkpoint is complete',
  async (name) => {
    const { cluster, failures, checkpoints } = await runWith(new RegExp(`step-00000008.*${name}`));
    try {
      const report = await cluster.coordinator.report;
      expect(failures).toEqual([
        {
          type: 'checkpoint-failed',
          step: 8,
          time: expect.any(String),
          reason: expect.stringContaining('ENOSPC'),
          lastCheckpoint: `the last checkpoint is ${path.join(checkpoints, 'step-00000004')}`,
        },
      ]);
      // Step 11 is the last step of the first epoch, and step 14 the last of the run.
      const saved = ['best', 'latest', 'step-00000004', 'step-00000011', 'step-00000012', 'step-00000014'];
      expect((await readdir(checkpoints)).toSorted()).toEqual(saved);
      expect(await loadCheckpoint(checkpoints)).toMatchObject({ step: 14, weightsSha256: report.weightsSha256 });
    } finally {
      await cluster.close();
    }
  },
);

it('if the disk stays full, the run completes its test, then fails and names the checkpoint to continue from', async () => {
  const { cluster, failures, checkpoints } = await runWith(/step-000000(08|1.)/);
  try {
    let isTested = false;
    cluster.coordinator.events.on('test', () => {
      isTested = true;
    });
    await expect(cluster.coordinator.report).rejects.toMatchObject({
      code: 'save-failed',
      message: expect.stringMatching(
        /^cannot save step 14 to .* \(ENOSPC: .*\); the last checkpoint is .*step-00000004: free some disk space, then continue from that checkpoint with `resume`$/,
      ),
    });
    expect(isTested).toBe(true);
    // After the test, the run tries once more to save step 14.
    expect(failures.map(({ step }) => step)).toEqual([8, 11, 12, 14, 14]);
    expect((await readdir(checkpoints)).toSorted()).toEqual(['latest', 'step-00000004']);
    expect(await loadCheckpoint(path.join(checkpoints, 'latest'))).toMatchObject({ step: 4 });
  } finally {
    await cluster.close();
  }
});

it('if metrics.jsonl cannot be written because the disk is full, one event reports it, and the run continues', async () => {
  isOnFullDisk = (file) => file.endsWith('metrics.jsonl');
  const cluster = await startCluster();
  try {
    const reasons: string[] = [];
    cluster.coordinator.events.on('metrics-failed', ({ reason }) => reasons.push(reason));
    cluster.coordinator.events.on('checkpoint', () => {
      isOnFullDisk = () => false;
    });
    await cluster.join();
    expect((await cluster.coordinator.report).steps).toBe(14);
    expect(reasons).toEqual([expect.stringContaining('ENOSPC')]);
  } finally {
    await cluster.close();
  }
});
