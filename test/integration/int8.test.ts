// Runs with int8 encoding: the weights do not depend on which worker computes which slices either. Uses real sockets, and
// a fake engine whose results reveal any difference.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import { loadCheckpoint } from '../../coordinator/run/checkpoints/load-checkpoint.js';
import type { Engine } from '../../worker/engine.js';
import { FakeClock } from '../support/fake-clock.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { hashWith, startCluster } from '../support/local-cluster.js';
import { openTensorFlowOrReason } from '../support/tensorflow.js';
import { bitsOf } from '../support/tree-sum.js';
import { trainUntil } from '../support/train-until.js';

const inFolder = folderPerFile();
const int8 = { encoding: 'int8' } as const;
const steps = 14;

let expectedSha256: string;
beforeAll(async () => {
  expectedSha256 = await hashWith(1, int8);
});

const trained = (options: CoordinatorOptions, how?: Parameters<typeof trainUntil>[1]) =>
  trainUntil({ ...int8, ...options }, how);

describe('with int8 encoding, the weights have the same bits', () => {
  it.each([2, 3, 5])('with one worker and with %i', async (workers) => {
    expect(await hashWith(workers, int8)).toBe(expectedSha256);
  });

  it('with messages so large that their memory is used again', async () => {
    const options = { ...int8, initialFilters: 16 };
    const [one, ...others] = [await hashWith(1, options), await hashWith(2, options), await hashWith(4, options)];
    expect(others).toEqual([one, one]);
  });

  it('when a worker vanishes in the middle of a step, and another joins later', async () => {
    // The fake clock never advances, so no worker becomes a straggler.
    const cluster = await startCluster({ ...int8, minWorkers: 3, clock: new FakeClock() });
    try {
      await cluster.join();
      await cluster.join();
      let slices = 0;
      const leaver = await cluster.join({
        engine: fakeEngine({
          beforeSlice: () => {
            if (++slices === 5) leaver.stop('leaving');
          },
        }),
      });
      cluster.coordinator.events.once('worker-lost', () => void cluster.join());
      const report = await cluster.coordinator.report;
      expect(report).toMatchObject({ workersJoined: 4, workersLost: 1, weightsSha256: expectedSha256 });
      expect(report.slicesReassigned).toBeGreaterThan(0);
    } finally {
      await cluster.close();
    }
  });

  // Step 1 travels in float32, and step 11 is the last of the first epoch.
  it.each([1, 2, 7, 11, 13])('when the run is stopped after step %i and resumed', async (until) => {
    const runDir = inFolder(`stopped-${until}`);
    await trained({ runDir }, { until, workers: 1 + (until % 3) });
    const report = (await trained({ runDir, resume: true }, { workers: 1 + ((until + 1) % 3) }))!;
    expect(report).toMatchObject({ weightsSha256: expectedSha256, resumedAtSteps: [until] });
  });

  it('but not those of float32', async () => {
    expect(await hashWith(1)).not.toBe(expectedSha256);
  });
});

describe('a checkpoint of a run with int8 encoding', () => {
  it('contains the published weights, which differ from the own ones, and the gradient scales', async () => {
    const runDir = inFolder('saved');
    await trained({ runDir }, { until: 4 });
    const { weights, published, layout } = await loadCheckpoint(runDir);
    expect(published!.weights).toHaveLength(layout.weightsSize);
    expect(bitsOf(published!.weights)).not.toEqual(bitsOf(weights));
    expect(published!.gradientScales!.every((scale) => scale > 0)).toBe(true);
  });

  it('can be resumed with the other encoding only with `override`', async () => {
    const runDir = inFolder('changed');
    await trained({ runDir }, { until: 4 });
    const toFloat32 = { runDir, resume: true, encoding: 'float32' } as const;
    await expect(startCluster(toFloat32)).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining('`encoding` was "int8" and is "float32"') as string,
    });
    await trained({ ...toFloat32, override: true }, { until: 6 });
    // Without published weights in the checkpoint, the first step travels in float32 again.
    const report = await trained({ runDir, resume: true, override: true });
    expect(report).toMatchObject({ steps, exact: false });
  });
});

describe.each(['NaN', 'Infinity'])('a gradient with %s', (value) => {
  // The first step travels in float32.
  it.each([1, 5])('in step %i ends the run, and the error names the array', async (step) => {
    const cluster = await startCluster({ ...int8 });
    try {
      let made = 0;
      cluster.coordinator.events.on('step', (event) => (made = event.step));
      const corrupt = (gradient: Float32Array) => {
        if (made === step - 1) gradient[0] = Number(value);
      };
      await cluster.join({ name: 'broken', engine: fakeEngine({ corrupt }) });
      await expect(cluster.coordinator.report).rejects.toMatchObject({
        code: 'diverged',
        message: expect.stringContaining(
          `in step ${step}, broken sent values that are not finite: the gradient of slices 0 to 3 has ${value} in stem/conv/kernel`,
        ) as string,
      });
    } finally {
      await cluster.close();
    }
  });
});

/** Returns the bytes that a worker exchanges in a step within an epoch, in a run with one slice. */
async function bytesPerStep(options: CoordinatorOptions): Promise<{ sent: number; received: number }> {
  const cluster = await startCluster({ initialFilters: 16, slices: 1, clock: new FakeClock(), ...options });
  try {
    const { coordinator } = cluster;
    const [from, to] = [4, 9];
    const seen = new Map<number, { sent: number; received: number }>();
    coordinator.events.on('step', ({ step }) => {
      const { bytesSent: sent, bytesReceived: received } = coordinator.status().run;
      seen.set(step, { sent, received });
    });
    await cluster.join();
    await coordinator.report;
    const difference = (key: 'sent' | 'received') => (seen.get(to)![key] - seen.get(from)![key]) / (to - from);
    return { sent: difference('sent'), received: difference('received') };
  } finally {
    await cluster.close();
  }
}

it('with one slice per worker, a step exchanges at most 0.26 of the bytes of float32', async () => {
  const [less, more] = [await bytesPerStep(int8), await bytesPerStep({})];
  expect(less.sent / more.sent).toBeLessThan(0.26);
  expect(less.received / more.received).toBeLessThan(0.26);
});

it('two slices of a worker travel one by one, the first while the second is being computed', async () => {
  const cluster = await startCluster({ ...int8, minWorkers: 2, clock: new FakeClock() });
  try {
    const sliceCounts: number[][] = [];
    cluster.coordinator.events.on('work-assigned', ({ ranges }) => {
      sliceCounts.push(ranges.map(({ count }) => count));
    });
    await cluster.join();
    await cluster.join();
    await cluster.coordinator.report;
    // The first step travels in float32, where one sum is half as large as two gradients.
    expect(sliceCounts.slice(0, 4)).toEqual([[2], [2], [1, 1], [1, 1]]);
  } finally {
    await cluster.close();
  }
});

it('clipped values are counted in metrics, status, Prometheus metrics and the report', async () => {
  const runDir = inFolder('clipped');
  const cluster = await startCluster({ ...int8, runDir });
  try {
    const { coordinator } = cluster;
    let slices = 0;
    // Slice 2 of step 3: the values of one array are 100 times as large as before.
    const corrupt = (gradient: Float32Array) => {
      if (++slices === 4 + 4 + 3) for (let i = 0; i < 10; i++) gradient[i] *= 100;
    };
    let metrics = '';
    let isEnding = false;
    coordinator.events.on('test', () => (isEnding = true));
    await cluster.join({
      engine: fakeEngine({
        corrupt,
        // Reads the metrics while the coordinator is waiting for the test.
        beforeEvaluation: async () => {
          if (metrics === '' && coordinator.status().run.phase === 'testing') {
            metrics = await (await fetch(`${coordinator.dashboardUrl}/metrics`)).text();
          }
        },
      }),
    });
    const { clippedValues } = await coordinator.report;
    expect(isEnding).toBe(true);
    const lines = (await readFile(path.join(runDir, 'metrics.jsonl'), 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; step: number; clippedValues?: number });
    const counts = lines.filter(({ type }) => type === 'step').map((line) => line.clippedValues!);
    expect(counts).toHaveLength(steps);
    expect(counts[2]).toBeGreaterThanOrEqual(10);
    expect(clippedValues).toBe(counts.reduce((sum, count) => sum + count, 0));
    expect(coordinator.status().run.clippedValues).toBe(clippedValues);
    expect(metrics).toContain(`\nlockstep_clipped_values_total ${clippedValues}\n`);
  } finally {
    await cluster.close();
  }
});

describe('with TensorFlow', () => {
  let engine: Engine | undefined;
  beforeAll(async () => {
    const opened = await openTensorFlowOrReason();
    if (typeof opened !== 'string') engine = opened;
  });
  afterAll(() => engine?.close());

  it.for([{ encoding: 'int8' }, { encoding: 'int8', localSteps: 3 }] as const)(
    'one worker and two compute the same weights with %o',
    async (options, { skip }) => {
      skip(engine === undefined);
      const hashes = [];
      for (const workers of [1, 2]) {
        const cluster = await startCluster({ ...options, steps: 4, minWorkers: workers });
        try {
          for (let count = 0; count < workers; count++) await cluster.join({ engine: engine! });
          hashes.push((await cluster.coordinator.report).weightsSha256);
        } finally {
          await cluster.close();
        }
      }
      expect(hashes[1]).toBe(hashes[0]);
    },
  );
});
