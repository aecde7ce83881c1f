// A run whose loss is no longer a number ends and says so; such a gradient never reaches the weights.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { fakeEngine } from '../support/fake-engine.js';
import { startCluster } from '../support/local-cluster.js';

it.each([NaN, Infinity])('a loss of %d ends the run with the step, the slice and the remedy', async (loss) => {
  const cluster = await startCluster();
  try {
    // 4 slices a step: the 48th is in step 12, the second of epoch 2, whose first epoch of 11 steps was saved.
    let slices = 0;
    await cluster.join({ engine: fakeEngine({ lossSum: () => (++slices === 48 ? loss : undefined) }) });
    await expect(cluster.coordinator.report).rejects.toMatchObject({
      code: 'diverged',
      message: expect.stringMatching(
        new RegExp(
          `slice 3 is ${loss} in step 12: .*--learning-rate \\(now 0\\.1\\).*last checkpoint is .*step-00000011$`,
        ),
      ),
    });
    const saved = await readdir(path.join(cluster.coordinator.runDirectory, 'checkpoints'));
    expect(saved.filter((name) => name.startsWith('step-'))).toEqual(['step-00000011']);
  } finally {
    await cluster.close();
  }
});
