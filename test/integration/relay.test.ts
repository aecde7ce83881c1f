// Workers behind a relay compute the bits of workers that are connected to the coordinator, whatever happens to the relay.
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startEvaluation } from '../../coordinator/evaluation-run.js';
import { startCoordinator } from '../../coordinator/main.js';
import { startRelay, type Relay, type RelayAddress, type RelayOptions } from '../../relay/main.js';
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
    // The relay has been sent its ranges.
    cluster.coordinator.events.on('broadcast', ({ step }) => {
      if (step === 5) cable.drop();
    });
    await relay.join({ url: cable.url });
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
    ['while another worker goes on', 1],
    ['while nobody else computes', 0],
  ])('when the connection of a relay is cut several times, %s', async (_, direct) => {
    const cluster = await clusterOf({ ...longRun, minWorkers: 2 + direct });
    const { events, report } = cluster.coordinator;
    const cable = await cableTo(cluster.coordinator.port);
    const relay = await relayTo(cable.url);
    let cuts = 0;
    let isCutting = false;
    events.on('relay-joined', () => {
      isCutting = false;
    });
    // In the middle of a step: the relay has been sent its ranges.
    events.on('broadcast', ({ step }) => {
      if (step < 10 * (cuts + 1) || isCutting) return;
      isCutting = true;
      cuts++;
      cable.drop();
    });
    await relay.join();
    await relay.join();
    for (let worker = 0; worker < direct; worker++) await cluster.join();
    expect((await report).weightsSha256).toBe(longSha256);
    expect(cuts).toBeGreaterThan(direct === 0 ? 4 : 0);
  });

  it('when the coordinator is killed and resumed, and the relay and its workers stay', async () => {
    const port = await freePort();
    const options = { ...smallRun, ...longRun, port, dataset: clusterDataset, runDir: inFolder('resumed') };
    const first = await startCoordinator({ ...options, minWorkers: 2, stopGraceMs: 0 });
    const cable = await cableTo(port);
    const relay = await relayTo(cable.url);
    const worker = await relay.join();
    await relay.join();
    await steps({ coordinator: first }, 5);
    // Nothing that the coordinator sends at its end arrives.
    cable.cut();
    first.stop();
    await expect(first.report).rejects.toMatchObject({ code: 'interrupted' });
    cable.drop();
    cable.mend();
    const second = await startCoordinator({ ...options, minWorkers: 2, resume: true });
    expect(await second.report).toMatchObject({ weightsSha256: longSha256, workersJoined: 4, exact: true });
    expect((await relay.relay.done).reason).toBe('the run has ended');
    expect((await worker.done).reason).toBe('the run has ended');
  });

  it.each(['float32', 'int8'] as const)(
    'with local steps in %s, behind two relays and beside them',
    async (encoding) => {
      const options = { steps: 24, localSteps: 8, encoding };
      const expected = await hashWith(1, options);
      const cluster = await clusterOf({ ...options, minWorkers: 4 });
      for (const count of [2, 1]) {
        const relay = await relayTo(cluster.coordinator.url);
        for (let worker = 0; worker < count; worker++) await relay.join();
      }
      await cluster.join();
      expect(await cluster.coordinator.report).toMatchObject({ weightsSha256: expected, exact: true, workersLost: 0 });
    },
  );

  it('with int8 encoding, when workers join and rejoin behind a relay', async () => {
    const int8 = { ...longRun, encoding: 'int8' } as const;
    const expected = await hashWith(2, int8);
    expect(expected).not.toBe(longSha256);
    const cluster = await clusterOf({ ...int8, minWorkers: 2 });
    const relay = await relayTo(cluster.coordinator.url);
    const cable = await cableTo(relay.port);
    let slices = 0;
    const engine = fakeEngine({
      beforeSlice: () => {
        if (++slices % 60 === 0) cable.drop();
      },
    });
    await relay.join({ url: cable.url, engine });
    await cluster.join();
    await steps(cluster, 5);
    await relay.join();
    expect(await cluster.coordinator.report).toMatchObject({ weightsSha256: expected, exact: true });
  });

  it('when a worker behind a relay is a straggler, which another worker behind it helps', async () => {
    const cluster = await clusterOf({ ...longRun, minWorkers: 2, stragglerFactor: 3 });
    const relay = await relayTo(cluster.coordinator.url);
    let slices = 0;
    let release: () => void = () => undefined;
    const late = new Promise<void>((resolve) => {
      release = resolve;
    });
    await relay.join({ engine: fakeEngine({ beforeSlice: () => (++slices > 40 ? late : undefined) }) });
    await relay.join();
    expect(await cluster.coordinator.report).toMatchObject({ weightsSha256: longSha256, stragglers: 0 });
    release();
  });
});

describe('a relay', () => {
  it('evaluates a checkpoint like a worker', async () => {
    const cluster = await clusterOf({ runDir: inFolder('evaluated') });
    await cluster.join();
    const { test } = await cluster.coordinator.report;
    const checkpoint = inFolder('evaluated');
    const evaluation = await startEvaluation({ checkpoint, dataset: clusterDataset, port: 0 });
    const relay = await relayTo(evaluation.url);
    const worker = await relay.join();
    await relay.join();
    const { loss, accuracy, engines } = await evaluation.report;
    expect({ loss, accuracy }).toEqual({ loss: test!.loss, accuracy: test!.accuracy });
    expect(engines[0]).toMatchObject({ fingerprint: 'fake/1' });
    expect((await worker.done).reason).toBe('the evaluation has ended');
  });

  it('fetches each shard once, and only those that its workers need', async () => {
    const cluster = await clusterOf({ ...longRun, minWorkers: 3, replicas: 1 });
    const relay = await relayTo(cluster.coordinator.url);
    await relay.join();
    await relay.join();
    await cluster.join();
    await steps(cluster, 3);
    const status = cluster.coordinator.status();
    const held = status.workers.flatMap(({ shards }) => shards);
    expect(held.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('has its workers measure their engines, from which the coordinator chooses one', async () => {
    const named = (fingerprint: string, sliceMs: number) => {
      const engine = fakeEngine({
        fingerprint,
        beforeSlice: () => new Promise((resolve) => setTimeout(resolve, sliceMs)),
      });
      return { ...engine, identity: { ...engine.identity, engine: fingerprint.split('/')[0] } };
    };
    const cluster = await clusterOf({ minWorkers: 3 });
    const chosen = once(cluster.coordinator.events, 'engine-chosen');
    const relay = await relayTo(cluster.coordinator.url);
    await relay.join({ engine: [named('slow/1', 40), named('quick/1', 1)] });
    await relay.join({ engine: [named('slow/1', 40), named('quick/1', 1)] });
    await cluster.join({ engine: named('slow/1', 40), name: 'attic' });
    expect((await chosen)[0]).toMatchObject({ fingerprint: 'quick/1', workersWithout: ['attic'] });
    const report = await cluster.coordinator.report;
    expect(report.exact).toBe(false);
    expect(report.engines).toEqual(
      expect.arrayContaining([
        { engine: 'quick', fingerprint: 'quick/1', workers: 2 },
        { engine: 'slow', fingerprint: 'slow/1', workers: 1 },
      ]),
    );
  });

  it('refuses workers that an exact run cannot use, and reports others', async () => {
    const cluster = await clusterOf({ ...longRun, exact: true, fingerprint: 'fake/1' });
    const relay = await relayTo(cluster.coordinator.url);
    const other = await relay.join({ engine: fakeEngine({ fingerprint: 'fake/2' }) });
    await expect(other.done).rejects.toThrow('the run is exact and uses fake/1, but this worker offers fake/2');
    await relay.join();
    expect(await cluster.coordinator.report).toMatchObject({ exact: true, weightsSha256: longSha256 });
  });

  it('tells the coordinator that the engine of its last worker cannot compute the network', async () => {
    const cluster = await clusterOf();
    const relay = await relayTo(cluster.coordinator.url);
    const worker = await relay.join({ name: 'attic', engine: fakeEngine({ networkProblem: 'too deep' }) });
    await expect(worker.done).rejects.toMatchObject({ code: 'bad-config' });
    await expect(cluster.coordinator.report).rejects.toThrow(
      'no worker can compute this network with its engine; attic: too deep',
    );
  });

  it('says goodbye to its workers when it is stopped', async () => {
    const cluster = await clusterOf();
    const relay = await relayTo(cluster.coordinator.url);
    const worker = await relay.join({ engine: fakeEngine({ beforeSlice: () => new Promise(() => undefined) }) });
    await once(cluster.coordinator.events, 'worker-joined');
    relay.relay.stop('enough');
    expect(await relay.relay.done).toMatchObject({ reason: 'enough' });
    expect(await worker.done).toMatchObject({ reason: 'enough' });
  });

  it('is what an operator drops: a single worker behind it is not connected to the coordinator', async () => {
    const cluster = await clusterOf();
    const { coordinator } = cluster;
    const relay = await relayTo(coordinator.url);
    const worker = await relay.join({ engine: fakeEngine({ beforeSlice: () => new Promise(() => undefined) }) });
    await once(coordinator.events, 'worker-joined');
    const drop = (id: number) =>
      fetch(`${coordinator.dashboardUrl}/control`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ action: 'drop', worker: id }),
      });
    const { workers } = coordinator.status();
    const [own, relayed] = [workers.find(({ relay }) => relay === null)!, workers.find(({ relay }) => relay !== null)!];
    const refused = await drop(relayed.id);
    expect([refused.status, await refused.json()]).toEqual([
      409,
      {
        error:
          `worker ${relayed.id} is connected through ${own.name} and can only be dropped together with it: ` +
          `drop worker ${own.id}`,
      },
    ]);
    expect((await drop(own.id)).status).toBe(200);
    expect(await relay.relay.done).toMatchObject({ reason: 'dropped by a user of this machine' });
    await worker.done;
  });

  it('is in the status with its workers, as in the events and the metrics', async () => {
    const cluster = await clusterOf({ ...longRun, minWorkers: 3 });
    const { coordinator } = cluster;
    const relay = await relayTo(coordinator.url, { name: 'rack' });
    expect(coordinator.status().workers).toMatchObject([{ name: 'rack', relayedWorkers: 0, state: 'idle' }]);
    const joined = once(coordinator.events, 'worker-joined');
    await relay.join({ name: 'one' });
    expect((await joined)[0]).toMatchObject({ name: 'one', relay: 'rack', workers: 1 });
    await relay.join({ name: 'two' });
    await cluster.join({ name: 'attic' });
    await steps(cluster, 2);
    const { workers } = coordinator.status();
    expect(workers.map(({ name, engine, relay: of, relayedWorkers }) => [name, engine, of, relayedWorkers])).toEqual([
      ['rack', 'relay', null, 2],
      ['one', 'fake', 'rack', null],
      ['two', 'fake', 'rack', null],
      ['attic', 'fake', null, null],
    ]);
    const metrics = await (await fetch(`http://127.0.0.1:${coordinator.port}/metrics`)).text();
    expect(metrics).toContain('lockstep_relay_workers{relay="rack"} 2');
    expect(metrics).toContain('lockstep_worker_info{worker="one",engine="fake",device="a fake device",relay="rack"} 1');
  });

  it('reports what its workers do, and the run their contributions', async () => {
    const cluster = await clusterOf({ ...longRun, minWorkers: 3, heartbeatInterval: 0.02 });
    const { coordinator } = cluster;
    const relay = await relayTo(coordinator.url, { name: 'rack' });
    const slow = () => new Promise<void>((resolve) => setTimeout(resolve, 3));
    for (const name of ['one', 'two']) await relay.join({ name, engine: fakeEngine({ beforeSlice: slow }) });
    await cluster.join({ name: 'attic', engine: fakeEngine({ beforeSlice: slow }) });
    await steps(cluster, 30);
    const [rack, one, two, attic] = coordinator.status().workers;
    expect([rack, one, two, attic].map(({ name }) => name)).toEqual(['rack', 'one', 'two', 'attic']);
    for (const worker of [one, two]) {
      expect(worker.images).toBeGreaterThan(0);
      expect(worker.imagesPerSecond).toBeGreaterThan(0);
      expect(worker.bytesSent).toBeGreaterThan(0);
      expect(worker.bytesReceived).toBeGreaterThan(0);
      expect(worker.timeShares).not.toBeNull();
    }
    expect(rack.images).toBe(one.images + two.images);
    const metrics = await (await fetch(`http://127.0.0.1:${coordinator.port}/metrics`)).text();
    expect(metrics).toMatch(/lockstep_worker_images_per_second\{worker="one"\} [1-9]/);
    expect(metrics).toMatch(/lockstep_worker_sent_bytes_total\{worker="two"\} [1-9]/);
    expect(metrics).not.toContain('lockstep_worker_images_per_second{worker="rack"}');
    const { workers, imagesSeen } = await coordinator.report;
    expect(workers.map(({ name }) => name).toSorted()).toEqual(['attic', 'one', 'two']);
    expect(workers.reduce((sum, { images }) => sum + images, 0)).toBe(imagesSeen);
  });

  it('has its workers in the status after they have left', async () => {
    const cluster = await clusterOf({ ...longRun, minWorkers: 2, pauseBelow: 2 });
    const relay = await relayTo(cluster.coordinator.url, { name: 'rack' });
    const one = await relay.join({ name: 'one' });
    await relay.join({ name: 'two' });
    await steps(cluster, 2);
    const lost = once(cluster.coordinator.events, 'worker-lost');
    one.stop('enough');
    await lost;
    expect(cluster.coordinator.status().workers.find(({ name }) => name === 'one')).toMatchObject({
      state: 'lost',
      lostReason: 'left: enough',
      relay: 'rack',
      timesLost: 1,
    });
  });

  it('has tracks for its workers in the timeline', async () => {
    const file = inFolder('traced', 'run.json');
    const timeline = { file, steps: { from: 3, to: 12 } };
    const cluster = await clusterOf({ ...longRun, minWorkers: 2, stragglerFactor: 0, timeline });
    const relay = await relayTo(cluster.coordinator.url, { name: 'rack' });
    for (const name of ['one', 'two']) await relay.join({ name });
    expect((await cluster.coordinator.report).weightsSha256).toBe(longSha256);
    const { traceEvents } = JSON.parse(await readFile(file, 'utf8')) as {
      traceEvents: { ph: string; name: string; cat?: string; pid: number; ts: number; dur: number; args?: object }[];
    };
    const processes = traceEvents.filter(({ name }) => name === 'process_name');
    const pidOf = (name: string) =>
      processes.find(({ args }) => (args as { name: string }).name.startsWith(`worker ${name} `))!.pid;
    const updates = traceEvents.filter(({ name, cat }) => name === 'update' && cat === 'coordinator');
    const slices = new Set<string>();
    for (const pid of [pidOf('one'), pidOf('two')]) {
      const spans = traceEvents.filter((event) => event.ph === 'X' && event.pid === pid);
      expect(new Set(spans.map(({ name }) => name.split(' ')[0]))).toContain('receive');
      expect(spans.some(({ name }) => name.startsWith('send '))).toBe(true);
      for (const { name, args } of spans) {
        if (name.startsWith('slice ')) slices.add(`${name} of step ${(args as { step: number }).step}`);
      }
      // Both clocks are this machine's, so the spans lie within the recorded steps, up to the clocks' uncertainty.
      const last = updates.at(-1)!;
      for (const { ts } of spans) expect(ts).toBeLessThan(last.ts + last.dur + 50_000);
    }
    // Ten steps of eight slices.
    expect(slices.size).toBe(80);
  });

  it('probes its idle workers', async () => {
    // With one slice, one of the two workers has nothing to do.
    const cluster = await clusterOf({ ...longRun, slices: 1, minWorkers: 2, replicas: 2 });
    const relay = await relayTo(cluster.coordinator.url);
    const computed = [0, 0];
    for (const worker of [0, 1]) {
      await relay.join({
        engine: fakeEngine({
          beforeSlice: () => {
            computed[worker]++;
          },
        }),
      });
    }
    await cluster.coordinator.report;
    expect(Math.min(...computed)).toBeGreaterThan(0);
  });

  it('serves its health and its workers', async () => {
    const cluster = await clusterOf({ minWorkers: 2 });
    const relay = await relayTo(cluster.coordinator.url, { name: 'rack' });
    const get = (page: string) => fetch(`http://127.0.0.1:${relay.port}${page}`);
    expect((await get('/readyz')).status).toBe(503);
    await relay.join({ name: 'attic' });
    await once(cluster.coordinator.events, 'worker-joined');
    expect((await get('/readyz')).status).toBe(200);
    const { coordinator } = cluster;
    expect(await (await get('/status')).json()).toMatchObject({
      relay: { name: 'rack', coordinator: coordinator.url },
      workers: [{ name: 'attic', engine: 'fake' }],
    });
  });
});

describe('who may be a relay', () => {
  const inTokens = { worker: 'c2d5a1f09b7e4d38a1b2', relay: '77aa31e0b92c4f5177aa', owner: '5b9d1c7e3f024a86aa55' };
  const tokens = Object.entries(inTokens).map(([role, token]) => `${role} ${role} ${token}\n`);

  /** Starts a run that knows these tokens, and a relay with a token of its own. */
  async function relayWith(coordinatorToken: string, options: Partial<RelayOptions> = {}): Promise<Relay> {
    await writeFile(inFolder('tokens'), tokens.join(''));
    const { coordinator } = await clusterOf({ tokenFile: inFolder('tokens') });
    const relay = await startRelay({ url: coordinator.url, port: 0, cache: null, coordinatorToken, ...options });
    closing.push(() => {
      relay.stop('the test has ended');
      return relay.done.catch(() => undefined);
    });
    return relay;
  }

  it.each(['relay', 'owner'] as const)('is who has a token of the role %s', async (role) => {
    const relay = await relayWith(inTokens[role]);
    expect((await once(relay.events, 'listening'))[0]).toMatchObject({ host: '127.0.0.1' });
  });

  it('is, with a token of the role worker, who lets only its own processes join', async () => {
    const relay = await relayWith(inTokens.worker, { isForHost: true });
    expect((await once(relay.events, 'listening'))[0]).toMatchObject({ host: '127.0.0.1' });
  });

  it('is not who has a join link', async () => {
    const { coordinator } = await clusterOf({ token: inTokens.owner, joinLink: true });
    const [, coordinatorToken] = coordinator.joinLink()!.url.split('#');
    const { done } = await startRelay({
      url: coordinator.url,
      port: 0,
      cache: null,
      coordinatorToken,
      isForHost: true,
    });
    await expect(done).rejects.toThrow('the token of a join link admits a single worker');
  });

  it('is not who has a token of the role worker', async () => {
    const { done } = await relayWith(inTokens.worker);
    await expect(done).rejects.toThrow('has the role worker, which may not join as a relay: use a relay token');
  });

  it('is not who connects to a relay', async () => {
    const { coordinator } = await clusterOf();
    const first = await relayTo(coordinator.url);
    const second = await startRelay({ url: first.url, port: 0, cache: null });
    await expect(second.done).rejects.toThrow('relays connect only to a coordinator: give the URL of the coordinator');
  });

  it('decides which tokens its workers need', async () => {
    const { coordinator } = await clusterOf();
    const relay = await relayTo(coordinator.url, { token: inTokens.worker });
    const stranger = await relay.join();
    await expect(stranger.done).rejects.toThrow('the worker presented no token');
    await relay.join({ token: inTokens.worker });
    expect((await coordinator.report).weightsSha256).toBe(shortSha256);
  });
});
