// A run with local steps has the same weights whoever computes them, in both encodings. Uses real sockets, and a fake engine
// whose results reveal any difference.
import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import { FakeClock } from '../support/fake-clock.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { hashWith, startCluster } from '../support/local-cluster.js';
import { trainUntil } from '../support/train-until.js';

const inFolder = folderPerFile();

/** 11 steps per epoch, so the rounds of a run have 8, 3, 8, 3, 8 and 2 steps. */
const run = { localSteps: 8, steps: 32 } as const;
const roundEnds = [8, 11, 19, 22, 30, 32];

const trained = (options: CoordinatorOptions, how?: Parameters<typeof trainUntil>[1]) =>
  trainUntil({ ...run, ...options }, how);

async function linesOf(
  runDir: string,
): Promise<{ type: string; step: number; epoch?: number; learningRate?: number }[]> {
  const text = await readFile(path.join(runDir, 'metrics.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe.each(['float32', 'int8'] as const)('in %s, a run with local steps', (encoding) => {
  const options = { ...run, encoding };
  let expectedSha256: string;
  beforeAll(async () => {
    expectedSha256 = await hashWith(1, options);
  });

  it.each([2, 3, 5])('has the same weights with %i workers as with one', async (workers) => {
    expect(await hashWith(workers, options)).toBe(expectedSha256);
  });

  it('has the same weights when a worker leaves within a round', async () => {
    const cluster = await startCluster({ ...options, minWorkers: 2 });
    try {
      await cluster.join();
      let steps = 0;
      const leaver = await cluster.join({
        engine: fakeEngine({
          // The fourth of eight steps on the first of its two slices, in the second full round.
          beforeSlice: () => {
            if (++steps === 2 * 11 + 4) leaver.stop('leaving');
          },
        }),
      });
      const report = await cluster.coordinator.report;
      expect(report).toMatchObject({ workersLost: 1, weightsSha256: expectedSha256 });
      expect(report.slicesReassigned).toBeGreaterThan(0);
      // The leaver has not finished its round.
      expect(steps).toBe(2 * 11 + 4);
    } finally {
      await cluster.close();
    }
  });

  it.each(roundEnds)('stopped after step %i and resumed, has the same weights', async (until) => {
    const runDir = inFolder(`${encoding}-${until}`);
    await trained({ encoding, runDir }, { until, workers: 1 + (until % 2) });
    const report = await trained({ encoding, runDir, resume: true }, { workers: 2 });
    expect(report).toMatchObject({ weightsSha256: expectedSha256, steps: 32, imagesSeen: 32 * 32 });
  });

  it('depends on the local steps and the outer optimizer', async () => {
    const others = [{ localSteps: 1 }, { localSteps: 4 }, { outerLearningRate: 1 }, { outerMomentum: 0 }];
    const hashes = await Promise.all(others.map((change) => hashWith(1, { ...options, ...change })));
    expect(new Set([expectedSha256, ...hashes]).size).toBe(1 + others.length);
  });
});

/** Returns the bytes that a worker exchanges per step, after the first rounds, in a run with one slice of 180 steps per epoch. */
async function bytesPerStep(options: CoordinatorOptions): Promise<number> {
  const small = { initialFilters: 16, slices: 1, batchSize: 2, steps: 180, clock: new FakeClock() };
  const cluster = await startCluster({ ...small, ...options });
  try {
    const { coordinator } = cluster;
    const bytesAt = new Map<number, number>();
    coordinator.events.on('step', ({ step }) => {
      const { bytesSent, bytesReceived } = coordinator.status().run;
      bytesAt.set(step, bytesSent + bytesReceived);
    });
    await cluster.join();
    await coordinator.report;
    return (bytesAt.get(160)! - bytesAt.get(64)!) / (160 - 64);
  } finally {
    await cluster.close();
  }
}

it('a worker that is late abandons its round once others have computed it', async () => {
  const options = { localSteps: 8, steps: 220, slices: 2 } as const;
  const clock = new FakeClock();
  const cluster = await startCluster({ ...options, minWorkers: 2, stragglerFactor: 2, heartbeatTimeout: 300, clock });
  const { events, report } = cluster.coordinator;
  const seen = new EventEmitter<{ held: []; otherAnswered: []; released: [] }>();
  const released = once(seen, 'released');
  const arrived = [once(seen, 'held'), once(seen, 'otherAnswered')];
  let steps = 0;
  // The late worker stops in the third step of the third round. The rounds end after steps 8, 11, 19 and 22.
  const late = fakeEngine({
    async beforeSlice() {
      if (++steps !== 8 + 3 + 3) return;
      seen.emit('held');
      await released;
    },
  });
  let lastStep = 0;
  events.on('answer-handled', ({ worker }) => {
    if (lastStep === 11 && worker.name === 'other') seen.emit('otherAnswered');
  });
  const fourthRoundEnded = new Promise<void>((resolve) => {
    events.on('step', ({ step }) => {
      lastStep = step;
      if (step === 22) resolve();
    });
  });
  try {
    await cluster.join({ name: 'late', engine: late });
    await cluster.join({ name: 'other' });
    await Promise.all(arrived);
    // With so few measured durations, a worker is late after a minute.
    clock.advance(60_000);
    await fourthRoundEnded;
    const stepsWhenAssigned = new Promise<number>((resolve) => {
      events.on('work-assigned', ({ worker }) => {
        if (worker.name === 'late') resolve(steps);
      });
    });
    seen.emit('released');
    // It takes part again, without the last five steps of its round.
    expect(await stepsWhenAssigned).toBe(8 + 3 + 3);
    expect((await report).weightsSha256).toBe(await hashWith(1, options));
  } finally {
    seen.emit('released');
    await cluster.close();
  }
});

it('with one slice per worker, 32 local steps and int8, a step exchanges at most 0.01 of the bytes of float32', async () => {
  const less = await bytesPerStep({ localSteps: 32, encoding: 'int8' });
  expect(less / (await bytesPerStep({}))).toBeLessThan(0.01);
});

it('a run with one local step has the weights of a run without the option, whatever the outer optimizer', async () => {
  const options = { localSteps: 1, outerLearningRate: 0.1, outerMomentum: 0.5 };
  expect(await hashWith(2, options)).toBe(await hashWith(1));
});

it('a run with local steps logs a line per round, and saves and validates between rounds', async () => {
  const runDir = inFolder('metrics');
  const cluster = await startCluster({ ...run, runDir, schedule: 'cosine', checkpointEvery: 10 });
  try {
    const { coordinator } = cluster;
    const saved: number[] = [];
    coordinator.events.on('checkpoint', ({ step }) => saved.push(step));
    await cluster.join();
    await once(coordinator.events, 'step');
    expect(coordinator.status().run).toMatchObject({ step: 8, steps: 32, stepsPerEpoch: 11, imagesSeen: 8 * 32 });
    const report = await coordinator.report;
    expect(report).toMatchObject({ steps: 32, epochs: 3, imagesSeen: 32 * 32 });
    expect(report.workers[0].images).toBe(32 * 32);
    // In the first round that reaches a multiple of 10, and at the end of each epoch.
    expect(saved).toEqual([11, 22, 30, 32]);
    const lines = await linesOf(runDir);
    const steps = lines.filter(({ type }) => type === 'step');
    expect(steps.map(({ step }) => step)).toEqual(roundEnds);
    expect(steps.map(({ epoch }) => epoch)).toEqual([1, 1, 2, 2, 3, 3]);
    expect(lines.filter(({ type }) => type === 'validation').map(({ step }) => step)).toEqual([11, 22, 32]);
    // The rate of the last step of each round; that of the whole run's last step is close to 0.
    expect(steps[0].learningRate).toBeCloseTo((0.1 * (1 + Math.cos((Math.PI * 7) / 32))) / 2, 10);
    expect(steps.at(-1)!.learningRate).toBeLessThan(0.001);
  } finally {
    await cluster.close();
  }
});

it('a run that ended within a round is not continued, because a longer run would have a longer round there', async () => {
  const runDir = inFolder('cut-off');
  await trained({ runDir, steps: 13 });
  await expect(trained({ runDir, steps: 32, resume: true })).rejects.toMatchObject({
    code: 'bad-config',
    message: expect.stringContaining('within a round of 8 local steps'),
  });
  const report = await trained({ runDir, steps: 32, resume: true, override: true });
  expect(report).toMatchObject({ steps: 32, exact: false });
});

it('a run whose slices diverge within a round reports it', async () => {
  const cluster = await startCluster({ ...run });
  try {
    await cluster.join({
      engine: fakeEngine({ corrupt: (gradient) => gradient.fill(Infinity, 0, 1) }),
    });
    await expect(cluster.coordinator.report).rejects.toMatchObject({ code: 'diverged' });
  } finally {
    await cluster.close();
  }
});

it('look-ahead is refused with local steps', async () => {
  await expect(startCluster({ localSteps: 2, lookAhead: 5 })).rejects.toMatchObject({
    code: 'bad-config',
    message:
      '`lookAhead` is 5: it must be omitted with `localSteps` above 1, which averages the weights in another way (the recipe speedrun sets it)',
  });
});
