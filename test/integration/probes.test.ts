// Workers whose engine needs a probe compute it before they join a run. Uses real sockets in one process, with fake engines
// that hide, or do not hide, on which device they compute.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import type { RunEventOf } from '../../coordinator/run/run-events.js';
import { startRelay, type RelayAddress } from '../../relay/main.js';
import { fingerprintOfDevice, type DeviceFields } from '../../shared/protocol/engines/probed-fingerprint.js';
import type { Engine } from '../../worker/engine.js';
import { startWorker, type Worker, type WorkerOptions } from '../../worker/main.js';
import { fakeEngine, type FakeEngineOptions } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { hashWith, startCluster, type Cluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const exposed = { vendor: 'acme', architecture: 'turbo', device: '0x01', description: 'Acme Turbo 1' };
const hidden = { vendor: 'acme', architecture: 'turbo' };

/** Returns an engine whose fingerprint is complete only with a probe. */
function gpu(fields: DeviceFields, options: FakeEngineOptions = {}, onlyIfNamed = false): Engine {
  const fake = fakeEngine(options);
  const fingerprint = fingerprintOfDevice('webgpu/1', fields);
  return {
    ...fake,
    identity: { engine: 'webgpu', fingerprint, device: 'a GPU', needsProbe: true, ...(onlyIfNamed && { onlyIfNamed }) },
  };
}

/** Returns an engine that computes other bits than the rest. */
const otherGpu = (fields: DeviceFields) => gpu(fields, { corrupt: (gradient) => (gradient[0] += 1e-3) });

async function runOf(options: CoordinatorOptions = {}): Promise<Cluster> {
  const cluster = await startCluster({ engine: 'webgpu', ...options });
  closing.push(() => cluster.close());
  return cluster;
}

describe('a run with probed engines', () => {
  it('is exact if no worker hides its device', async () => {
    const cluster = await runOf({ minWorkers: 2 });
    await cluster.join({ engine: gpu(exposed) });
    await cluster.join({ engine: gpu(exposed) });
    const report = await cluster.coordinator.report;
    const fingerprint = expect.stringMatching(
      /^webgpu\/1; vendor=acme; architecture=turbo; device=0x01; description=Acme Turbo 1; probe=[0-9a-f]{16}$/,
    );
    expect(report).toMatchObject({ exact: true, exactAsProbed: true, fingerprint, workersJoined: 2 });
    expect(report.engines).toEqual([{ engine: 'webgpu', fingerprint: report.fingerprint, workers: 2 }]);
    expect(report.weightsSha256).toBe(await hashWith(1));
  });

  it('is exact as probed if a worker hides its device and computes the same probe', async () => {
    const cluster = await runOf({ minWorkers: 2 });
    const deviating = once(cluster.coordinator.events, 'inexact');
    await cluster.join({ engine: gpu(hidden), name: 'tab' });
    await cluster.join({ engine: gpu(exposed), name: 'node' });
    expect((await deviating)[0]).toMatchObject({ name: 'tab', exactAsProbed: true });
    const report = await cluster.coordinator.report;
    expect(report).toMatchObject({ exact: false, exactAsProbed: true });
    // The device that hides nothing gives the run its fingerprint, although the other one was first.
    expect(report.fingerprint).toContain('description=Acme Turbo 1');
    expect(report.weightsSha256).toBe(await hashWith(1));
  });

  it('is neither if a worker computes another probe', async () => {
    const cluster = await runOf({ minWorkers: 2 });
    await cluster.join({ engine: gpu(exposed) });
    await cluster.join({ engine: otherGpu(exposed) });
    expect(await cluster.coordinator.report).toMatchObject({ exact: false, exactAsProbed: false, workersJoined: 2 });
  });

  it('does not count workers that have not computed their probes yet', async () => {
    const cluster = await runOf();
    let finishProbe = () => {};
    const probing = new Promise<void>((resolve) => (finishProbe = resolve));
    closing.push(() => finishProbe());
    await cluster.join({ engine: gpu(exposed, { beforeSlice: () => probing }), name: 'slow' });
    await cluster.join({ engine: gpu(exposed), name: 'quick' });
    const report = await cluster.coordinator.report;
    expect(report).toMatchObject({ workersJoined: 1, workersLost: 0, workers: [{ name: 'quick' }] });
  });

  it('keeps its fingerprint in config.json and when it is resumed', async () => {
    const runDir = inFolder('resumed');
    const first = await runOf({ runDir, checkpointEvery: 5, steps: 40 });
    const saved = once(first.coordinator.events, 'checkpoint');
    await first.join({ engine: gpu(hidden) });
    await saved;
    first.coordinator.stop();
    await first.coordinator.report.catch(() => undefined);
    const config = JSON.parse(await readFile(path.join(runDir, 'config.json'), 'utf8')) as { fingerprint: string };
    expect(config.fingerprint).toMatch(/^webgpu\/1; vendor=acme; architecture=turbo; probe=[0-9a-f]{16}$/);

    const resumed = await startCluster({ runDir, resume: true, steps: 40 });
    closing.push(() => resumed.close());
    // Matches as probed, so that no worker has exactly the fingerprint of the run.
    await resumed.join({ engine: [fakeEngine(), gpu(exposed)] });
    const report = await resumed.coordinator.report;
    expect(report).toMatchObject({ exact: false, exactAsProbed: true, fingerprint: config.fingerprint });
    expect(report.weightsSha256).toBe(await hashWith(1, { steps: 40 }));
  });
});

describe('an exact run', () => {
  it('refuses a late worker whose probe differs', async () => {
    const cluster = await runOf({ exact: true, steps: 400 });
    await cluster.join({ engine: gpu(exposed) });
    await once(cluster.coordinator.events, 'step');
    const other = await cluster.join({ engine: otherGpu(exposed) });
    await expect(other.done).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/the run is exact and uses webgpu\/1; .*, but this worker offers webgpu\/1; /),
    });
    const same = await cluster.join({ engine: gpu(exposed), name: 'same' });
    const assigned = once(cluster.coordinator.events, 'engine-assigned');
    expect((await assigned)[0]).toMatchObject({ name: same.name });
    cluster.coordinator.stop();
  });

  it('refuses a worker that hides its device, also if it is the first', async () => {
    const cluster = await runOf({ exact: true });
    const tab = await cluster.join({ engine: gpu(hidden) });
    await expect(tab.done).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('this worker does not say which device it has'),
    });
    await cluster.join({ engine: gpu(exposed) });
    expect(await cluster.coordinator.report).toMatchObject({ exact: true, exactAsProbed: true });
  });
});

describe('an engine that needs a probe', () => {
  it('takes part in the measurement of a run that may choose it', async () => {
    const slow = fakeEngine({
      fingerprint: 'slow/1',
      beforeSlice: () => new Promise((resolve) => setTimeout(resolve, 60)),
    });
    const cluster = await runOf({ engine: 'auto' });
    const chosen = once(cluster.coordinator.events, 'engine-chosen');
    await cluster.join({ engine: [slow, gpu(exposed)] });
    expect((await chosen)[0]).toMatchObject({ engine: 'webgpu' });
    expect((await cluster.coordinator.report).exact).toBe(true);
  });

  it('is neither probed nor chosen if only runs that name it use it', async () => {
    const cluster = await runOf({ engine: 'auto' });
    let probes = 0;
    const emulated = gpu(exposed, { beforeSlice: () => void probes++ }, true);
    await cluster.join({ engine: [emulated, fakeEngine()] });
    expect(await cluster.coordinator.report).toMatchObject({ exact: true, fingerprint: 'fake/1' });
    expect(probes).toBe(0);
  });

  it('is not probed by a run that uses another engine', async () => {
    const cluster = await runOf({ engine: 'auto', steps: 400 });
    await cluster.join({ engine: fakeEngine() });
    await once(cluster.coordinator.events, 'step');
    let probes = 0;
    const assigned = once(cluster.coordinator.events, 'engine-assigned');
    await cluster.join({ engine: [gpu(exposed, { beforeSlice: () => void probes++ }), fakeEngine()] });
    expect((await assigned)[0]).toMatchObject({ fingerprint: 'fake/1' });
    expect(probes).toBe(0);
    cluster.coordinator.stop();
  });

  it('is left out if it cannot compute the network and the worker has another one', async () => {
    const cluster = await runOf({ engine: 'auto' });
    await cluster.join({ engine: [gpu(exposed, { networkProblem: 'no pooling' }), fakeEngine()] });
    expect(await cluster.coordinator.report).toMatchObject({ exact: true, fingerprint: 'fake/1' });
  });

  it('ends a run that names it if no worker can compute the network with it', async () => {
    const cluster = await runOf();
    const worker = await cluster.join({ engine: gpu(exposed, { networkProblem: 'no pooling of 9×9 pixels' }) });
    await expect(worker.done).rejects.toMatchObject({ message: expect.stringContaining('no pooling of 9×9 pixels') });
    await expect(cluster.coordinator.report).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining('no pooling of 9×9 pixels'),
    });
  });

  it('is not needed for an evaluation that uses another', async () => {
    const cluster = await runOf();
    await cluster.join({ engine: gpu(exposed) });
    expect((await cluster.coordinator.report).test).not.toBeNull();
  });
});

it('a worker that fails at its probe leaves, and another takes its place', async () => {
  const cluster = await runOf();
  const access = once(cluster.coordinator.events, 'access');
  const failing = await cluster.join({
    name: 'broken',
    engine: gpu(exposed, { beforeSlice: () => Promise.reject(new Error('out of memory')) }),
  });
  await expect(failing.done).rejects.toMatchObject({ code: 'refused' });
  const [{ message }] = (await access) as [RunEventOf<'access'>];
  expect(message).toMatch(/^broken \(.+\) left before it had joined: engine failed: out of memory$/);
  await cluster.join({ engine: gpu(exposed) });
  expect(await cluster.coordinator.report).toMatchObject({ exact: true, workersJoined: 1 });
});

describe('workers behind a relay', () => {
  async function relayTo(url: string): Promise<string> {
    const relay = await startRelay({ url, port: 0, cache: null });
    closing.push(() => {
      relay.stop('the test has ended');
      return relay.done.catch(() => undefined);
    });
    const [address] = (await once(relay.events, 'listening')) as [RelayAddress];
    return address.url;
  }

  async function joinRelay(url: string, options: Partial<WorkerOptions>): Promise<Worker> {
    const worker = await startWorker({ url, cache: null, connectionThread: false, ...options });
    closing.push(() => {
      worker.stop('the test has ended');
      return worker.done.catch(() => undefined);
    });
    return worker;
  }

  it('are probed by the relay', async () => {
    const cluster = await runOf({ minWorkers: 3 });
    const url = await relayTo(cluster.coordinator.url);
    for (const engine of [gpu(hidden), gpu(exposed)]) await joinRelay(url, { engine });
    await cluster.join({ engine: gpu(exposed) });
    const report = await cluster.coordinator.report;
    expect(report).toMatchObject({ exact: false, exactAsProbed: true, workersJoined: 3 });
    expect(report.weightsSha256).toBe(await hashWith(1));
  });

  it('end the run, as others do, if none can compute the network', async () => {
    const cluster = await runOf();
    const access = once(cluster.coordinator.events, 'access');
    const url = await relayTo(cluster.coordinator.url);
    const worker = await joinRelay(url, { name: 'attic', engine: gpu(exposed, { networkProblem: 'no pooling' }) });
    await expect(worker.done).rejects.toMatchObject({ message: expect.stringContaining('no pooling') });
    await expect(cluster.coordinator.report).rejects.toMatchObject({
      code: 'bad-config',
      message: 'no worker can compute this network with its engine; attic: no pooling',
    });
    const [{ message }] = (await access) as [RunEventOf<'access'>];
    expect(message).toMatch(
      /^attic \(.+\) left before it had joined: the engine cannot compute this network: no pooling$/,
    );
  });
});
