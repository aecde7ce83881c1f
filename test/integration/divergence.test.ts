// A run with values that are not finite fails with an explanation, and gradients that are not finite never reach the
// weights.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadCheckpoint } from '../../coordinator/run/checkpoints/load-checkpoint.js';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import type { LockstepError } from '../../shared/errors.js';
import { areFinite } from '../../coordinator/optimizer/finite.js';
import { FakeClock } from '../support/fake-clock.js';
import { fakeEngine, type FakeEngineOptions } from '../support/fake-engine.js';
import { runCli } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { startCluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();

async function checkpointsIn(runDirectory: string): Promise<string[]> {
  const entries = await readdir(path.join(runDirectory, 'checkpoints'));
  return entries.filter((name) => name.startsWith('step-')).toSorted();
}

/**
 * Runs two workers. One corrupts its answers starting with step 13, the second step of epoch 2. The fake clock never
 * advances, so neither worker is considered slower than the other.
 * @returns error message of the run, the step that failed, and the name of the newest checkpoint
 */
async function failWith(corruption: FakeEngineOptions): Promise<{ message: string; step: number; newest: string }> {
  const cluster = await startCluster({ minWorkers: 2, steps: 60, clock: new FakeClock() });
  try {
    let stepsMade = 0;
    cluster.coordinator.events.on('step', ({ step }) => {
      stepsMade = step;
    });
    const isDue = () => stepsMade >= 12;
    await cluster.join({ name: 'healthy' });
    await cluster.join({
      name: 'broken',
      engine: fakeEngine({
        lossSum: () => (isDue() ? corruption.lossSum?.() : undefined),
        corrupt: (...result) => (isDue() ? corruption.corrupt?.(...result) : undefined),
      }),
    });
    const error: unknown = await cluster.coordinator.report.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'diverged' });
    const { message } = error as LockstepError;
    const step = Number(/in step (\d+)/.exec(message)![1]);
    return { message, step, newest: (await checkpointsIn(cluster.coordinator.runDirectory)).at(-1)! };
  } finally {
    await cluster.close();
  }
}

function checkpointNameOf(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

describe('one of two workers', () => {
  it.each([NaN, Infinity])(
    'with a loss of %d fails the run, with an error that names the worker, the step and a remedy',
    async (loss) => {
      const { message, step, newest } = await failWith({ lossSum: () => loss });
      expect(message).toMatch(
        new RegExp(
          `^in step ${step}, broken sent values that are not finite: the loss of slice \\d is ${loss}\\. .*no value from this step ` +
            `reached the weights\\. .*\`learningRate\` \\(the rate was 0\\.1\\).*last checkpoint is .*${checkpointNameOf(step - 1)}$`,
        ),
      );
      expect(newest).toBe(checkpointNameOf(step - 1));
    },
  );

  it.each([NaN, -Infinity])(
    'with %d in a gradient and a finite loss fails the run, with an error that names the array',
    async (value) => {
      const { message, step, newest } = await failWith({
        corrupt(gradientSum) {
          // The stem convolution has 3·3·3·4 + 4 = 112 parameters and its batch norm 4 + 4 = 8. The next 3·3·4·4 = 144,
          // at indices 120 to 263, belong to group1/block1/conv1/kernel.
          gradientSum[200] = value;
        },
      });
      expect(message).toMatch(
        new RegExp(`^in step \\d+, broken sent .*: the gradient of .* has ${value} in group1/block1/conv1/kernel`),
      );
      expect(newest).toBe(checkpointNameOf(step - 1));
    },
  );

  it('with NaN in the batch statistics fails the run', async () => {
    const { message } = await failWith({
      corrupt: (_, batchStatistics) => {
        batchStatistics[0] = NaN;
      },
    });
    expect(message).toContain('have NaN in stem/bn/moving_mean');
  });

  it('with finite gradients whose sum overflows float32 fails the run', async () => {
    const { message, step, newest } = await failWith({ corrupt: (gradientSum) => gradientSum.fill(3e38) });
    expect(message).toMatch(/Infinity in stem\/conv\/kernel/);
    expect(newest).toBe(checkpointNameOf(step - 1));
  });
});

describe('a learning rate of 1e6', () => {
  beforeAll(() => writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 200, testImages: 50 })));

  it('fails the run with exit status 1, an error that names the array, and a finite checkpoint', async () => {
    const runDirectory = inFolder('run');
    const recipe = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--steps', '40'];
    const divergentOptions = [...recipe, '--learning-rate', '1e6', '--engine', 'wasm', '--workers', '2'];
    const paths = ['--data', inFolder('images'), '--run-dir', runDirectory];
    const { status, output } = await runCli(['train', ...divergentOptions, ...paths]);
    expect(output).toMatch(
      /lockstep: in step \d+, worker-[12] sent values that are not finite: .* (NaN|-?Infinity) in [\w/]+/,
    );
    expect(status).toBe(1);
    const [, step] = /in step (\d+)/.exec(output)!;
    const newest = (await checkpointsIn(runDirectory)).at(-1)!;
    expect(newest).toBe(`step-${String(Number(step) - 1).padStart(8, '0')}`);
    const { weights, optimizerState, movingStatistics } = await loadCheckpoint(
      path.join(runDirectory, 'checkpoints', newest),
    );
    expect([weights, optimizerState['velocity'], movingStatistics].map(areFinite)).toEqual([true, true, true]);
  });
});
