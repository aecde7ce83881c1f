// How a run gets its engine when workers offer several. Uses real sockets in one process, with fake engines that compute
// different weights and have different speeds.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import type { RunEventOf } from '../../coordinator/run/run-events.js';
import type { Engine } from '../../worker/engine.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { startCluster, type Cluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();
let cluster: Cluster;
afterEach(() => cluster.close());

/**
 * Returns an engine that takes at least this many milliseconds per slice. Engines with different fingerprints compute
 * different weights.
 */
function engine(fingerprint: string, sliceMs = 0): Engine {
  const shift = Buffer.from(fingerprint).reduce((sum, byte) => sum + byte, 0);
  const fake = fakeEngine({
    fingerprint,
    beforeSlice: () => new Promise((resolve) => setTimeout(resolve, sliceMs)),
    corrupt: (gradientSum) => (gradientSum[0] += shift),
  });
  return { ...fake, identity: { ...fake.identity, engine: fingerprint.split('/')[0] } };
}

/** Starts a run whose steps wait for two workers. */
const startRun = async (options: CoordinatorOptions = {}) =>
  (cluster = await startCluster({ minWorkers: 2, ...options }));

/** Returns the hash of the weights that one worker with this engine computes. */
async function hashOf(fingerprint: string): Promise<string> {
  const alone = await startCluster();
  await alone.join({ engine: engine(fingerprint) });
  const report = await alone.coordinator.report;
  await alone.close();
  return report.weightsSha256;
}

it('two workers that share only one engine agree on it, and the run is exact', async () => {
  await startRun();
  const measuring = once(cluster.coordinator.events, 'measuring-engines');
  const chosen = once(cluster.coordinator.events, 'engine-chosen');
  await cluster.join({ engine: [engine('gpu/a', 30), engine('common/1', 20)], name: 'attic' });
  await cluster.join({ engine: [engine('gpu/b', 30), engine('common/1', 20)], name: 'cellar' });
  expect((await measuring)[0]).toMatchObject({ workers: 2, engines: ['gpu', 'common'] });
  const [{ candidates, ...choice }] = (await chosen) as [RunEventOf<'engine-chosen'>];
  expect(choice).toMatchObject({ engine: 'common', fingerprint: 'common/1', workersWithout: [] });
  expect(candidates.map(({ fingerprint, workers }) => [fingerprint, workers])).toEqual(
    expect.arrayContaining([
      ['common/1', 2],
      ['gpu/a', 1],
      ['gpu/b', 1],
    ]),
  );
  const report = await cluster.coordinator.report;
  expect(report).toMatchObject({
    exact: true,
    fingerprint: 'common/1',
    engines: [{ engine: 'common', fingerprint: 'common/1', workers: 2 }],
  });
  expect(report.weightsSha256).toBe(await hashOf('common/1'));
  const { runDirectory } = cluster.coordinator;
  const config: unknown = JSON.parse(await readFile(path.join(runDirectory, 'config.json'), 'utf8'));
  expect(config).toMatchObject({ engine: 'auto', fingerprint: 'common/1' });
});

it('a fast engine wins although one worker lacks it, which then computes with another', async () => {
  await startRun();
  const choosing = once(cluster.coordinator.events, 'engine-chosen');
  const deviating = once(cluster.coordinator.events, 'inexact');
  await cluster.join({ engine: [engine('quick/1'), engine('steady/1', 40)], name: 'attic' });
  await cluster.join({ engine: [engine('steady/1', 40)], name: 'cellar' });
  const [chosen] = await choosing;
  expect(chosen).toMatchObject({ fingerprint: 'quick/1', workersWithout: ['cellar'] });
  const [inexact] = await deviating;
  expect(inexact).toMatchObject({ name: 'cellar', fingerprint: 'steady/1', expected: 'quick/1' });
  expect(await cluster.coordinator.report).toMatchObject({ exact: false, fingerprint: 'quick/1' });
});

it('an exact run refuses the worker that lacks the engine, and waits for another', async () => {
  await startRun({ exact: true });
  await cluster.join({ engine: [engine('nimble/1'), engine('stout/1', 40)] });
  const lacking = await cluster.join({ engine: [engine('stout/1', 40)] });
  await expect(lacking.done).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringMatching(/the run is exact and uses nimble\/1, but this worker offers stout\/1/),
  });
  await cluster.join({ engine: [engine('stout/1', 40), engine('nimble/1')] });
  const report = await cluster.coordinator.report;
  expect(report).toMatchObject({ exact: true, fingerprint: 'nimble/1', workersLost: 1 });
  expect(report.weightsSha256).toBe(await hashOf('nimble/1'));
});

it('a worker that joins later uses the engine of the run if it offers it, and is not asked to measure', async () => {
  cluster = await startCluster({ steps: 400 });
  await cluster.join({ engine: engine('first/1', 5) });
  await once(cluster.coordinator.events, 'step');
  const assigned = once(cluster.coordinator.events, 'engine-assigned');
  const later = await cluster.join({ engine: [engine('other/1'), engine('first/1', 5)], name: 'later' });
  let hasMeasured = false;
  later.events.on('measuring', () => (hasMeasured = true));
  expect((await assigned)[0]).toMatchObject({ name: 'later', fingerprint: 'first/1' });
  const [step] = await once(cluster.coordinator.events, 'step');
  expect([step.step > 0, hasMeasured]).toEqual([true, false]);
  cluster.coordinator.stop();
});

it('a resumed run keeps its engine, although another has become faster', async () => {
  const runDir = inFolder('resumed');
  await startRun({ runDir, minWorkers: 1, checkpointEvery: 5 });
  const saved = once(cluster.coordinator.events, 'checkpoint');
  await cluster.join({ engine: [engine('slower/1', 60), engine('kept/1', 10)] });
  await saved;
  cluster.coordinator.stop();
  await expect(cluster.coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
  await cluster.close();

  await startRun({ runDir, minWorkers: 1, resume: true });
  await cluster.join({ engine: [engine('slower/1'), engine('kept/1', 10)] });
  const report = await cluster.coordinator.report;
  expect(report).toMatchObject({ exact: true, fingerprint: 'kept/1' });
  expect(report.weightsSha256).toBe(await hashOf('kept/1'));
});

it('a run whose only worker leaves while it measures waits for another one', async () => {
  await startRun({ minWorkers: 1 });
  const leaving = await cluster.join({ engine: [engine('here/1', 50), engine('there/1', 50)] });
  await once(cluster.coordinator.events, 'measuring-engines');
  expect(cluster.coordinator.status().run.phase).toBe('measuring');
  expect(cluster.coordinator.status().workers[0]).toMatchObject({ engine: 'auto', fingerprint: 'here/1 or there/1' });
  leaving.stop('gone');
  await leaving.done;
  await cluster.join({ engine: engine('here/1') });
  expect(await cluster.coordinator.report).toMatchObject({ exact: true, fingerprint: 'here/1', workersJoined: 2 });
});

it('a run that is stopped while workers measure ends at once', async () => {
  await startRun({ minWorkers: 1 });
  await cluster.join({ engine: [engine('now/1', 50), engine('then/1', 50)] });
  await once(cluster.coordinator.events, 'measuring-engines');
  cluster.coordinator.stop();
  await expect(cluster.coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
});
