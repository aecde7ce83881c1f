// Workers behind a relay compute the bits of workers that are connected to the coordinator, whatever happens to the relay.
import { once } from 'node:events';
import path from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startEvaluation } from '../../coordinator/evaluation-run.js';
import { startCoordinator } from '../../coordinator/main.js';
import { startRelay, type Relay, type RelayAddress, type RelayOptions } from '../../relay/main.js';
import type { LockstepError } from '../../shared/errors.js';
import { startWorker, type WorkerOptions } from '../../worker/main.js';
import { Cable } from '../support/cable.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { freePort } from '../support/free-port.js';
import { clusterDataset, hashWith, smallRun, startCluster, type Cluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function clusterOf(...options: Parameters<typeof startCluster>): Promise<Cluster> {
  const started = await startCluster(...options);
  closing.push(() => started.close());
  return started;
}

interface StartedRelay extends RelayAddress {
  relay: Relay;
  /** Starts a worker behind the relay. */
  join(options?: Partial<WorkerOptions>): ReturnType<typeof startWorker>;
}

/** Starts a relay, and waits until workers can join it. */
async function relayTo(url: string, options: Partial<RelayOptions> = {}): Promise<StartedRelay> {
  const relay = await startRelay({ url, port: 0, cache: null, ...options });
  closing.push(() => {
    relay.stop('the test has ended');
    return relay.done.catch(() => undefined);
  });
  const [address] = (await once(relay.events, 'listening')) as [RelayAddress];
  return {
    relay,
    ...address,
    async join(more = {}) {
      const worker = await startWorker({
        url: address.url,
        engine: fakeEngine(),
        cache: null,
        connectionThread: false,
        ...more,
      });
      closing.push(() => {
        worker.stop('the test has ended');
        return worker.done.catch(() => undefined);
      });
      return worker;
    },
  };
}

async function cableTo(port: number): Promise<Cable & { url: string }> {
  const cable = await Cable.to(port);
  closing.push(() => cable.close());
  return Object.assign(cable, { url: `ws://127.0.0.1:${cable.port}` });
}

/** Resolves after this many further steps. */
async function steps({ coordinator }: Pick<Cluster, 'coordinator'>, count: number): Promise<void> {
  for (let step = 0; step < count; step++) await once(coordinator.events, 'step');
}

const longRun = { steps: 60, slices: 8 };
let shortSha256: string;
let longSha256: string;
beforeAll(async () => {
  shortSha256 = await hashWith(1);
  longSha256 = await hashWith(1, longRun);
});

describe('the weights are those of a run without relays', () => {
  it.each([
    ['with one worker behind a relay', [1], 0],
    ['with two workers behind a relay', [2], 0],
    ['with two relays', [2, 2], 0],
    ['with a relay and workers beside it', [3], 2],
  ])('%s', async (_, behind, direct) => {
    const workers = behind.reduce((sum, count) => sum + count, direct);
    const cluster = await clusterOf({ minWorkers: workers });
    for (const count of behind) {
      const relay = await relayTo(cluster.coordinator.url);
      for (let worker = 0; worker < count; worker++) await relay.join();
    }
    for (let worker = 0; worker < direct; worker++) await cluster.join();
    expect(await cluster.coordinator.report).toMatchObject({
      weightsSha256: shortSha256,
      exact: true,
      workersJoined: workers,
      workersLost: 0,
      engines: [{ engine: 'fake', fingerprint: 'fake/1', workers }],
    });
  });

  it('when a worker behind a relay is cut off in the middle of a step, and rejoins', async () => {
    const cluster = await clusterOf({ ...longRun, minWorkers: 2 });
    const relay = await relayTo(cluster.coordinator.url);
    const cable = await cableTo(relay.port);
    let slices = 0;
    const engine = fakeEngine({
      beforeSlice: () => {
        if (++slices === 30) cable.drop();
      },
    });
    await relay.join({ url: cable.url, engine });
    await relay.join();
    const lost = once(cluster.coordinator.events, 'worker-lost');
    expect(await cluster.coordinator.report).toMatchObject({ weightsSha256: longSha256, workersLost: 1 });
    expect((await lost)[0]).toMatchObject({ relay: relay.relay.name });
  });

  it('when the last worker behind a relay leaves and another one joins', async () => {
    const cluster = await clusterOf({ ...longRun });
    const relay = await relayTo(cluster.coordinator.url);
    const first = await relay.join();
    await steps(cluster, 3);
    const lost = once(cluster.coordinator.events, 'relay-lost');
    first.stop('leaving');
    expect((await lost)[0]).toMatchObject({ reason: 'left: no workers are connected to this relay' });
    await relay.join();
    expect(await cluster.coordinator.report).toMatchObject({ weightsSha256: longSha256, workersJoined: 2 });
  });

  it.each([
    ['while other workers go on', 1],
    ['while nobody else computes', 0],
  ])('when the connection of a relay is cut several times, %s', async (_, direct) => {
    const cluster = await clusterOf({ ...longRun, minWorkers: 2 + direct });
    const cable = await cableTo(cluster.coordinator.port);
    const relay = await relayTo(cable.url);
    let slices = 0;
    const engine = fakeEngine({
      beforeSlice: async () => {
        if (++slices % 25 === 0) cable.drop();
        await new Promise((resolve) => setTimeout(resolve, 2));
      },
    });
    await relay.join({ engine });
    await relay.join({ engine: fakeEngine({ beforeSlice: () => new Promise((resolve) => setTimeout(resolve, 2)) }) });
    for (let worker = 0; worker < direct; worker++) {
      await cluster.join({ engine: fakeEngine({ beforeSlice: () => new Promise((done) => setTimeout(done, 10)) }) });
    }
    let lost = 0;
    cluster.coordinator.events.on('relay-lost', () => lost++);
    expect((await cluster.coordinator.report).weightsSha256).toBe(longSha256);
    expect(lost).toBeGreaterThan(0);
  });

});
