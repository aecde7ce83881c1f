// Several workers on one machine share a connection to the coordinator. Uses the command line, in real processes with the
// wasm engine.
import { writeFile } from 'node:fs/promises';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Cable } from '../support/cable.js';
import { startCli, type CliProcess } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { clusterDataset, smallRun, startCluster, type Cluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();
const run = { ...smallRun, engine: 'wasm', slices: 4, dataset: clusterDataset } as const;
const workerToken = 'c2d5a1f09b7e4d38a1b2';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function clusterOf(options: Parameters<typeof startCluster>[0] = {}): Promise<Cluster> {
  const cluster = await startCluster({ ...run, minWorkers: 2, ...options });
  closing.push(() => cluster.close());
  return cluster;
}

function startHost(url: string, args: readonly string[] = [], environment: NodeJS.ProcessEnv = {}): CliProcess {
  const named = ['--workers', '2', '--name', 'host', '--no-cache'];
  const host = startCli(['worker', url, '--engine', 'wasm', ...named, ...args], environment);
  closing.push(() => {
    host.child.kill('SIGKILL');
    return host.exited;
  });
  return host;
}

let expectedSha256: string;
beforeAll(async () => {
  const cluster = await startCluster(run);
  try {
    await cluster.join({ engine: 'wasm' });
    expectedSha256 = (await cluster.coordinator.report).weightsSha256;
  } finally {
    await cluster.close();
  }
});

describe('worker --workers 2', () => {
  it('has one connection, for which the token of a worker is enough, and the bits of one worker', async () => {
    await writeFile(inFolder('tokens'), `host worker ${workerToken}\nme owner 5b9d1c7e3f024a86aa55\n`);
    const { coordinator } = await clusterOf({ tokenFile: inFolder('tokens') });
    const joined: string[] = [];
    coordinator.events.on('worker-joined', ({ name, relay }) => joined.push(`${name} behind ${relay}`));
    let connections = 0;
    coordinator.events.on('relay-joined', () => connections++);
    const host = startHost(coordinator.url, [], { LOCKSTEP_TOKEN: workerToken });
    const report = await coordinator.report;
    expect(report).toMatchObject({ weightsSha256: expectedSha256, exact: true, workersJoined: 2, workersLost: 0 });
    expect(report.workers.map(({ name }) => name).toSorted()).toEqual(['host-worker-1', 'host-worker-2']);
    expect(connections).toBe(1);
    expect(joined.toSorted()).toEqual(['host-worker-1 behind host-relay', 'host-worker-2 behind host-relay']);
    expect(await host.exited).toBe(0);
    expect(host.output()).not.toContain(workerToken);
  });

  it('fetches each shard once', async () => {
    const { coordinator } = await clusterOf({ replicas: 2 });
    startHost(coordinator.url);
    const report = await coordinator.report;
    // With two replicas, each of the two workers holds all shards: 360 images for training, 40 for validation and 300 for
    // the test, of 3,073 bytes. The weights of 14 steps and two evaluations are smaller than these.
    const shardsBytes = 700 * 3073;
    expect(report.bytesSent).toBeGreaterThan(shardsBytes);
    expect(report.bytesSent).toBeLessThan(2 * shardsBytes);
  });

  it('keeps its processes when the connection is lost, and prints that it is', async () => {
    const { coordinator } = await clusterOf({ steps: 40 });
    const cable = await Cable.to(coordinator.port);
    closing.push(() => cable.close());
    coordinator.events.on('broadcast', ({ step }) => {
      if (step === 11) cable.drop();
    });
    let joins = 0;
    coordinator.events.on('relay-joined', () => joins++);
    const host = startHost(`ws://127.0.0.1:${cable.port}`);
    await coordinator.report;
    expect(await host.exited).toBe(0);
    expect(joins).toBe(2);
    expect(host.output()).toMatch(/^not connected \(.*\); retrying now$/m);
  });

  it('prints the events of its connection and of its processes as JSON', async () => {
    const { coordinator } = await clusterOf();
    const host = startHost(coordinator.url, ['--json']);
    await coordinator.report;
    expect(await host.exited).toBe(0);
    const lines = host.output().trimEnd().split('\n');
    const events = lines.map((line) => JSON.parse(line) as { type: string; worker: string; url?: string });
    const typesOf = (name: string) => events.filter(({ worker }) => worker === name).map(({ type }) => type);
    expect(typesOf('host-relay')).toEqual(['start', 'joined', 'end']);
    for (const name of ['host-worker-1', 'host-worker-2']) {
      expect(typesOf(name)).toEqual(expect.arrayContaining(['start', 'joined', 'engine', 'end']));
    }
    expect(events.find(({ worker, type }) => worker === 'host-relay' && type === 'start')?.url).toBe(coordinator.url);
  });

  it('fails like a single worker if the coordinator refuses it', async () => {
    const { coordinator } = await clusterOf({ token: '5b9d1c7e3f024a86aa55' });
    const host = startHost(coordinator.url, [], { LOCKSTEP_TOKEN: workerToken });
    expect(await host.exited).toBe(1);
    expect(host.output()).toContain('refused this worker (token): the worker presented an unknown token');
  });
});
