// A run whose values are no longer numbers ends and says so; such a gradient never reaches the weights.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadCheckpoint } from '../../coordinator/run/load-checkpoint.js';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import type { LockstepError } from '../../shared/errors.js';
import { areFinite } from '../../shared/reduction/finite.js';
import { FakeClock } from '../support/fake-clock.js';
import { fakeEngine, type FakeEngineOptions } from '../support/fake-engine.js';
import { runCli } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { startCluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();

async function savedIn(runDirectory: string): Promise<string[]> {
  const entries = await readdir(path.join(runDirectory, 'checkpoints'));
  return entries.filter((name) => name.startsWith('step-')).toSorted();
}

/**
 * Two workers of one speed, as no time passes, one of which spoils its answers from step 13, the second of epoch 2, on.
 * @returns how the run ended, in which step, and the newest checkpoint
 */
async function endWith(spoil: FakeEngineOptions): Promise<{ message: string; step: number; newest: string }> {
  const cluster = await startCluster({ minWorkers: 2, steps: 60, clock: new FakeClock() });
  try {
    let stepsMade = 0;
    cluster.coordinator.events.on('step', ({ step }) => {
      stepsMade = step;
    });
    const isDue = () => stepsMade >= 12;
    await cluster.join({ name: 'sound' });
    await cluster.join({
      name: 'broken',
      engine: fakeEngine({
        lossSum: () => (isDue() ? spoil.lossSum?.() : undefined),
        spoil: (...result) => (isDue() ? spoil.spoil?.(...result) : undefined),
      }),
    });
    const error: unknown = await cluster.coordinator.report.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'diverged' });
    const { message } = error as LockstepError;
    const step = Number(/in step (\d+)/.exec(message)![1]);
    return { message, step, newest: (await savedIn(cluster.coordinator.runDirectory)).at(-1)! };
  } finally {
    await cluster.close();
  }
}

function nameOf(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

describe('from one of two workers', () => {
  it.each([NaN, Infinity])('a loss of %d ends the run with the worker, the step and the remedy', async (loss) => {
    const { message, step, newest } = await endWith({ lossSum: () => loss });
    expect(message).toMatch(
      new RegExp(
        `^in step ${step}, broken sent values that are not finite: the loss of slice \\d is ${loss}\\. .*no value of this step ` +
          `reached the weights\\. .*\`learningRate\` \\(the rate was 0\\.1\\).*last checkpoint is .*${nameOf(step - 1)}$`,
      ),
    );
    expect(newest).toBe(nameOf(step - 1));
  });

  it.each([NaN, -Infinity])('%d in a gradient, beside a loss that is one, ends it with the layer', async (value) => {
    const { message, step, newest } = await endWith({
      spoil(gradientSum) {
        // Behind the stem's 3·3·3·4 + 4 and its batch norm's 4 + 4, within the next 3·3·4·4.
        gradientSum[200] = value;
      },
    });
    expect(message).toMatch(
      new RegExp(`^in step \\d+, broken sent .*: the gradient of .* has ${value} in group1/block1/conv1/kernel`),
    );
    expect(newest).toBe(nameOf(step - 1));
  });

  it('NaN in the statistics of batch norm does too', async () => {
    const { message } = await endWith({
      spoil: (_, batchStatistics) => {
        batchStatistics[0] = NaN;
      },
    });
    expect(message).toContain('have NaN in stem/bn/moving_mean');
  });

  it('finite gradients whose sum is too large for float32 end it', async () => {
    const { message, step, newest } = await endWith({ spoil: (gradientSum) => gradientSum.fill(3e38) });
    expect(message).toMatch(/Infinity in stem\/conv\/kernel/);
    expect(newest).toBe(nameOf(step - 1));
  });
});

describe('an honest worker under a rate of 1e6', () => {
  beforeAll(() => writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 200, testImages: 50 })));

  it('ends the run with exit status 1, the names, and a checkpoint that is sound', async () => {
    const runDirectory = inFolder('run');
    const recipe = ['--depth', '8', '--initial-filters', '4', '--batch-size', '32', '--steps', '40'];
    const divergent = [...recipe, '--learning-rate', '1e6', '--engine', 'wasm', '--workers', '2'];
    const places = ['--data', inFolder('images'), '--run-dir', runDirectory];
    const { status, output } = await runCli(['train', ...divergent, ...places]);
    expect(output).toMatch(
      /lockstep: in step \d+, worker-[12] sent values that are not finite: .* (NaN|-?Infinity) in [\w/]+/,
    );
    expect(status).toBe(1);
    const [, step] = /in step (\d+)/.exec(output)!;
    const newest = (await savedIn(runDirectory)).at(-1)!;
    expect(newest).toBe(`step-${String(Number(step) - 1).padStart(8, '0')}`);
    const { weights, optimizerState, movingStatistics } = await loadCheckpoint(
      path.join(runDirectory, 'checkpoints', newest),
    );
    expect([weights, optimizerState['velocity'], movingStatistics].map(areFinite)).toEqual([true, true, true]);
  });
});
