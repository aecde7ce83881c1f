// A run that is stopped and resumed has the weights, report and curves of a run that was never stopped. Uses real
// sockets, and a fake engine whose results reveal any difference.
import { cp, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import type { Report } from '../../coordinator/run/report.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { startCluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();
const steps = 20;

interface Line {
  type: string;
  step: number;
  event?: string;
}

async function curveOf(runDir: string): Promise<Line[]> {
  const text = await readFile(path.join(runDir, 'metrics.jsonl'), 'utf8');
  // Omit values that depend on the speed of the machine.
  const withoutTimes = (key: string, value: unknown) =>
    ['imagesPerSecond', 'phases', 'time'].includes(key) ? undefined : value;
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line, withoutTimes) as Line);
  return lines.filter(({ type }) => type !== 'event');
}

/** Returns the fields of a report that resuming must not change. */
function resultOf({ steps: made, epochs, imagesSeen, weightsSha256, train, validation, test, exact }: Report) {
  return { made, epochs, imagesSeen, weightsSha256, train, validation, test, exact };
}

/** Trains to the end, or until step `until` is complete. */
async function trained(options: CoordinatorOptions, { workers = 1, until = Infinity, fingerprint = 'fake/1' } = {}) {
  const cluster = await startCluster({ steps, minWorkers: workers, ...options });
  try {
    const { coordinator } = cluster;
    coordinator.events.on('step', ({ step }) => {
      if (step === until) coordinator.stop();
    });
    for (let count = 0; count < workers; count++) await cluster.join({ engine: fakeEngine({ fingerprint }) });
    if (until === Infinity) return await coordinator.report;
    await expect(coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
    return undefined;
  } finally {
    await cluster.close();
  }
}

let straight: Report;
let straightCurve: Line[];
beforeAll(async () => {
  straight = (await trained({ runDir: inFolder('straight') }))!;
  straightCurve = await curveOf(inFolder('straight'));
});

// Step 11 is the last step of the first epoch. A run stopped after step 20 has not yet run the final validation and
// test.
describe('a run of 20 steps, stopped after step', () => {
  const stops = Array.from({ length: steps }, (_, i) => i + 1);
  it.each(stops)('%i and resumed, has the same weights, report and curves', async (until) => {
    const runDir = inFolder(`stopped-${until}`);
    await trained({ runDir }, { until, workers: 1 + (until % 3) });
    const report = (await trained({ runDir, resume: true }, { workers: 1 + ((until + 1) % 3) }))!;
    expect(resultOf(report)).toEqual(resultOf(straight));
    expect(report.resumedAtSteps).toEqual([until]);
    expect(await curveOf(runDir)).toEqual(straightCurve);
  });

  it('3, and again after 4, 9 and 15, has the same weights, report and curves', async () => {
    const runDir = inFolder('often');
    await trained({ runDir }, { until: 3 });
    for (const until of [4, 9, 15]) await trained({ runDir, resume: true }, { until });
    const report = (await trained({ runDir, resume: true }))!;
    expect(resultOf(report)).toEqual(resultOf(straight));
    expect(report.resumedAtSteps).toEqual([3, 4, 9, 15]);
    expect(report.workersJoined).toBe(5);
    expect(await curveOf(runDir)).toEqual(straightCurve);
  });
});

it.each([
  { preprocessing: 'per-pixel-mean' },
  { preprocessing: 'standardize' },
  { flip: 'alternating', cropPadding: 'reflect' },
] as const)('a run with %o, stopped and resumed, has the same weights', async (recipe) => {
  const name = Object.values(recipe).join('-');
  const straightOn = (await trained({ runDir: inFolder(name), ...recipe }))!;
  const runDir = inFolder(`${name}-stopped`);
  await trained({ runDir, ...recipe }, { until: 7 });
  const report = (await trained({ runDir, resume: true }, { workers: 2 }))!;
  expect(resultOf(report)).toEqual(resultOf(straightOn));
  expect(report.weightsSha256).not.toBe(straight.weightsSha256);
});

describe('a run resumes from', () => {
  it('a given checkpoint: later ones are set aside, and the curves have each step once', async () => {
    const runDir = inFolder('earlier');
    await trained({ runDir, checkpointEvery: 4 });
    const checkpoints = path.join(runDir, 'checkpoints');
    await trained({ runDir, resume: path.join(checkpoints, 'step-00000008') }, { until: 9 });
    expect((await readdir(checkpoints)).toSorted()).toEqual([
      'latest',
      'step-00000004',
      'step-00000008',
      'step-00000009',
      'step-00000011.superseded',
      'step-00000012.superseded',
      'step-00000016.superseded',
      'step-00000020.superseded',
    ]);
    expect(await readlink(path.join(checkpoints, 'latest'))).toBe('step-00000009');
    expect(resultOf((await trained({ runDir, resume: true }))!)).toEqual(resultOf(straight));
    expect(await curveOf(runDir)).toEqual(straightCurve);
  });

  it('a checkpoint of another run, in a directory of its own: the other run is not changed', async () => {
    const [old, branch] = [inFolder('old'), inFolder('branch')];
    await trained({ runDir: old, checkpointEvery: 4 });
    const before = await readFile(path.join(old, 'metrics.jsonl'), 'utf8');
    const report = (await trained({ runDir: branch, resume: path.join(old, 'checkpoints', 'step-00000012') }))!;
    expect(resultOf(report)).toEqual(resultOf(straight));
    expect(await curveOf(branch)).toEqual(straightCurve);
    expect(await readFile(path.join(old, 'metrics.jsonl'), 'utf8')).toBe(before);
    expect(await readdir(path.join(old, 'checkpoints'))).not.toContain('step-00000020.superseded');
  });

  it('the newest intact checkpoint with `auto`, or starts from the beginning', async () => {
    const runDir = inFolder('auto');
    await trained({ runDir, resume: 'auto', checkpointEvery: 5 }, { until: 12 });
    await writeFile(path.join(runDir, 'checkpoints', 'step-00000012', 'model.safetensors'), 'damage');
    const report = (await trained({ runDir, resume: 'auto' }))!;
    // Step 11 is the last step of the first epoch.
    expect(report.resumedAtSteps).toEqual([11]);
    expect(resultOf(report)).toEqual(resultOf(straight));
  });

  it('nothing if there is no checkpoint, which is an error', async () => {
    await expect(trained({ runDir: inFolder('nothing'), resume: true })).rejects.toMatchObject({
      code: 'no-checkpoint',
      message: expect.stringContaining(inFolder('nothing')),
    });
  });

  it('nothing if the newest checkpoint is damaged; the error names the one before it', async () => {
    const runDir = inFolder('damaged');
    await trained({ runDir, checkpointEvery: 5 }, { until: 10 });
    await writeFile(path.join(runDir, 'checkpoints', 'step-00000010', 'optimizer.safetensors'), 'damage');
    const intact = path.join(runDir, 'checkpoints', 'step-00000005');
    await expect(trained({ runDir, resume: true })).rejects.toMatchObject({
      code: 'bad-checkpoint',
      message: expect.stringContaining(`the last intact checkpoint before it is ${intact}`),
    });
    expect(resultOf((await trained({ runDir, resume: intact }))!)).toEqual(resultOf(straight));
  });

  it('its end only if it is extended, as if it had been that long from the start', async () => {
    const runDir = inFolder('finished');
    await trained({ runDir, steps: 14 });
    await expect(trained({ runDir, steps: 14, resume: true })).rejects.toMatchObject({
      code: 'already-finished',
      message: expect.stringContaining('14 steps, weights'),
    });
    await expect(trained({ runDir, steps: 13, resume: true })).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringMatching(/the run has 13 steps, but .*step-00000014 is already at step 14/),
    });
    expect(resultOf((await trained({ runDir, resume: true }))!)).toEqual(resultOf(straight));
  });
});

describe('resuming with another configuration', () => {
  let saved: string;
  beforeAll(async () => {
    saved = inFolder('original');
    await trained({ runDir: saved }, { until: 6 });
  });
  /** Resumes a copy of the run. */
  async function resumed(name: string, options: CoordinatorOptions, fingerprint?: string): Promise<Report> {
    const runDir = inFolder(name);
    await cp(saved, runDir, { recursive: true, verbatimSymlinks: true });
    return (await trained({ runDir, resume: true, ...options }, fingerprint === undefined ? {} : { fingerprint }))!;
  }

  it('is refused with the old and the new value of each field', async () => {
    await expect(resumed('changed', { seed: 6, learningRate: 0.05, keepCheckpoints: 2 })).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringMatching(
        /with a different configuration: `seed` was 5 and is 6; `learningRate` was 0\.1 and is 0\.05\. .*`override`/,
      ),
    });
  });

  it('is possible with `override`, and the report says that the run is not exact', async () => {
    const report = await resumed('overridden', { learningRate: 0.05, override: true });
    expect(report.weightsSha256).not.toBe(straight.weightsSha256);
    expect(report).toMatchObject({ exact: false, steps, resumedAtSteps: [6] });
  });

  it('is not an error for fields that are omitted or do not affect the weights', async () => {
    const runDir = inFolder('again');
    await cp(saved, runDir, { recursive: true, verbatimSymlinks: true });
    const nothing = { seed: undefined, depth: undefined, initialFilters: undefined, batchSize: undefined };
    const report = await trained({
      runDir,
      resume: true,
      ...nothing,
      checkpointEvery: 3,
      exact: true,
    });
    expect(resultOf(report!)).toEqual(resultOf(straight));
  });

  it('is refused for another model, even with `override`', async () => {
    await expect(resumed('model', { depth: 14, override: true })).rejects.toMatchObject({
      code: 'bad-checkpoint',
      message: expect.stringContaining('belongs to a different model (changed: `depth`)'),
    });
  });

  it('is refused for other images', async () => {
    const dataset = synthesizeDataset({ trainingImages: 400, testImages: 300 });
    dataset.test[5] ^= 1;
    await expect(resumed('images', { dataset })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringMatching(
        /these are not the images of .*step-00000006 \(the first difference is in test shard 0\)/,
      ),
    });
    dataset.test[5] ^= 1;
    expect(resultOf(await resumed('same images', { dataset }))).toEqual(resultOf(straight));
  });

  it('and another engine makes the run inexact', async () => {
    const report = await resumed('engine', {}, 'fake/2');
    expect(report.exact).toBe(false);
    expect(report.engines).toEqual([
      { engine: 'fake', fingerprint: 'fake/1', workers: 1 },
      { engine: 'fake', fingerprint: 'fake/2', workers: 1 },
    ]);
  });
});
