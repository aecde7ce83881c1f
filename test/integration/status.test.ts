// What a coordinator tells of a run while it goes on: /status, /readyz, and the commands that ask.
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { runStatus, type RunStatus } from '../../shared/run-status.js';
import { runCli } from '../support/cli.js';
import { fakeEngine } from '../support/fake-engine.js';
import { startCluster, type Cluster } from '../support/local-cluster.js';

const pageOf = (cluster: Cluster, path: string) => fetch(`${cluster.coordinator.url.replace('ws', 'http')}${path}`);

async function statusOf(cluster: Cluster): Promise<RunStatus> {
  return runStatus.parse(await (await pageOf(cluster, '/status')).json());
}

/** Lets a test look at a step that does not end before it says so. */
function gate() {
  let open: () => void = () => undefined;
  let isOpen = false;
  let arrived: () => void = () => undefined;
  const somebodyIsThere = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const opened = new Promise<void>((resolve) => {
    open = () => {
      isOpen = true;
      resolve();
    };
  });
  return {
    open: () => open(),
    somebodyIsThere,
    pass: async () => {
      arrived();
      if (!isOpen) await opened;
    },
  };
}

describe('a run with two workers and a spare', () => {
  it('tells who computes what, who is lost and who took over, and that it waits', async () => {
    const cluster = await startCluster({ minWorkers: 3, slices: 2, steps: 8 });
    try {
      const { events, report } = cluster.coordinator;
      await once(events, 'waiting');
      expect(await (await pageOf(cluster, '/readyz')).json()).toEqual({
        status: 'not ready',
        reason: 'waiting for workers: 0 of 3 are here',
      });
      expect(await statusOf(cluster)).toMatchObject({
        run: { phase: 'waiting', step: 0, steps: 8, workersNeeded: 3, loss: null, secondsLeft: null, slices: [] },
        workers: [],
      });

      const hold = gate();
      await cluster.join({ name: 'attic', engine: fakeEngine({ beforeSlice: hold.pass }) });
      await cluster.join({ name: 'cellar' });
      await cluster.join({ name: 'garage' });
      await hold.somebodyIsThere;
      expect((await pageOf(cluster, '/readyz')).status).toBe(200);
      const first = await statusOf(cluster);
      expect(first.run).toMatchObject({ phase: 'training', step: 0, exact: true, workersJoined: 3 });
      expect(first.workers.map(({ name }) => name)).toEqual(['attic', 'cellar', 'garage']);
      const [attic, cellar] = first.workers;
      expect(attic).toMatchObject({ state: 'working', slices: [0], engine: 'fake', fingerprint: 'fake/1' });
      expect(first.run.slices).toEqual([
        { workers: [attic.id], answeredBy: null },
        { workers: [cellar.id], answeredBy: expect.toSatisfy((by) => by === null || by === cellar.id) },
      ]);
      expect(first.workers[2]).toMatchObject({ state: 'spare', slices: [], timesLost: 0 });

      const checkpoint = once(events, 'checkpoint');
      const lost = once(events, 'workerLost');
      const step = once(events, 'step');
      cluster.workers[0].stop('lunch');
      await lost;
      const second = await statusOf(cluster);
      expect(second.workers.at(-1)).toMatchObject({
        name: 'attic',
        state: 'lost',
        lostReason: 'left: lunch',
        timesLost: 1,
        timesRejoined: 0,
        slices: [],
      });
      hold.open();
      await step;
      const third = await statusOf(cluster);
      expect(third.run).toMatchObject({ slicesReassigned: 1, workersLost: 1 });

      await cluster.join({ name: 'attic' });
      await checkpoint;
      const fourth = await statusOf(cluster);
      expect(fourth.workers.filter(({ name }) => name === 'attic')).toMatchObject([
        { timesLost: 1, timesRejoined: 1, lostReason: null },
      ]);
      expect(fourth.run.checkpoint).toMatchObject({ step: 8, path: expect.stringContaining('step-00000008') });
      expect(fourth.run).toMatchObject({ step: 8, epoch: 1, epochs: 1, secondsLeft: 0 });
      expect(fourth.run.imagesPerSecond.mean).toBeGreaterThan(0);
      expect(fourth.run.loss).toEqual(expect.any(Number));
      const { timeShares } = fourth.workers[0];
      expect(timeShares!.compute + timeShares!.network + timeShares!.waiting).toBeCloseTo(1, 10);
      expect(fourth.run.bytesSent).toBeGreaterThan(0);
      await report;
    } finally {
      await cluster.close();
    }
  });

  it('tells of a worker that is late, and who was asked too', async () => {
    const hold = gate();
    const cluster = await startCluster({ minWorkers: 2, slices: 2, steps: 40, stragglerFactor: 2 });
    try {
      const { events } = cluster.coordinator;
      let calls = 0;
      const engine = fakeEngine({ beforeSlice: () => (++calls > 10 ? hold.pass() : undefined) });
      await cluster.join({ name: 'slow', engine });
      await cluster.join({ name: 'quick' });
      await hold.somebodyIsThere;
      // Its slice is given to the other one, which ends the step; the next begins with a worker that is still busy.
      await once(events, 'straggler');
      await once(events, 'step');
      const { workers, run } = await statusOf(cluster);
      expect(workers[0]).toMatchObject({ name: 'slow', state: 'late' });
      expect(run.stragglers).toBeGreaterThan(0);
      hold.open();
      await cluster.coordinator.report;
    } finally {
      hold.open();
      await cluster.close();
    }
  });
});

describe('lockstep status and lockstep workers', { timeout: 60_000 }, () => {
  it('print what a run is doing', async () => {
    const cluster = await startCluster({ minWorkers: 2, slices: 2, steps: 3000 });
    try {
      await cluster.join({ name: 'attic' });
      await cluster.join({ name: 'cellar' });
      const { url, events } = cluster.coordinator;
      await once(events, 'step');
      const [run, workers, json] = await Promise.all([
        runCli(['status', url]),
        runCli(['workers', url.replace('ws://', '')]),
        runCli(['workers', url.replace('ws', 'http'), '--json']),
      ]);
      expect([run.status, workers.status, json.status]).toEqual([0, 0, 0]);
      expect(run.output).toMatch(/^(training|validating|saving) · .*\nstep \d+\/3000 · epoch \d+\/273 · loss \d/);
      expect(run.output).toMatch(/\n2 workers · 0 lost · 0 slices reassigned · \d+ stragglers? · exact\n/);
      expect(workers.output).toMatch(/^name +state +engine +slices .*\nattic +\w+ +fake .*\ncellar +\w+ +fake /);
      expect(runStatus.parse(JSON.parse(json.output)).workers).toHaveLength(2);
    } finally {
      await cluster.close();
    }
  });

  it('say what is wrong where there is no answer to be had', async () => {
    const cluster = await startCluster({ token: 'secret', minWorkers: 9 });
    const { url, port } = cluster.coordinator;
    const wrong = await runCli(['status', url], { LOCKSTEP_TOKEN: 'other' });
    await cluster.close();
    expect(wrong).toEqual({
      status: 1,
      output:
        `lockstep: 127.0.0.1:${port} does not let us read (a token that is not known here was shown): give a viewer's ` +
        "token, or the coordinator's own, with LOCKSTEP_TOKEN or --token-file\n",
    });
    const nobody = await runCli(['workers', url]);
    expect(nobody.status).toBe(1);
    expect(nobody.output).toMatch(
      `lockstep: nobody answers at 127.0.0.1:${port} (connect ECONNREFUSED 127.0.0.1:${port}): is the coordinator running`,
    );
    const nonsense = await runCli(['workers', 'ftp://attic']);
    expect(nonsense).toMatchObject({ status: 2, output: expect.stringContaining('it must be HOST:PORT') });
  });
});
