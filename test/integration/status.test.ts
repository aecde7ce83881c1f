// Tests /status and /readyz during a run, and the commands that read them.
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { runStatus, type RunStatus } from '../../shared/monitoring/run-status.js';
import { runCli } from '../support/cli.js';
import { FakeClock } from '../support/fake-clock.js';
import { fakeEngine } from '../support/fake-engine.js';
import { freePort } from '../support/free-port.js';
import { startCluster, type Cluster } from '../support/local-cluster.js';

const pageOf = (cluster: Cluster, path: string) => fetch(`${cluster.coordinator.url.replace('ws', 'http')}${path}`);

async function statusOf(cluster: Cluster): Promise<RunStatus> {
  return runStatus.parse(await (await pageOf(cluster, '/status')).json());
}

/** Creates a gate that holds a step until a test opens it. */
function gate() {
  let open: () => void = () => undefined;
  let isOpen = false;
  let arrive: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  const opened = new Promise<void>((resolve) => {
    open = () => {
      isOpen = true;
      resolve();
    };
  });
  return {
    open: () => open(),
    reached,
    pass: async () => {
      arrive();
      if (!isOpen) await opened;
    },
  };
}

describe('a run with two workers and a spare', () => {
  it('reports assignments, lost workers, reassigned slices, and whether the run waits', async () => {
    const cluster = await startCluster({ minWorkers: 3, slices: 2, steps: 8, stragglerFactor: 0 });
    try {
      const { events, report } = cluster.coordinator;
      await once(events, 'waiting');
      expect(await (await pageOf(cluster, '/readyz')).json()).toEqual({
        status: 'not ready',
        reason: 'waiting for workers: 0 of 3 are connected',
      });
      expect(await statusOf(cluster)).toMatchObject({
        run: { phase: 'waiting', step: 0, steps: 8, workersNeeded: 3, loss: null, secondsLeft: null, slices: [] },
        workers: [],
      });

      const [hold, rejoined, inspected] = [gate(), gate(), gate()];
      let isFirstStepOver = false;
      events.on('step', () => (isFirstStepOver = true));
      let isSaved = false;
      events.on('checkpoint', () => (isSaved = true));
      const engine = fakeEngine({
        beforeSlice: () => (isFirstStepOver ? rejoined.pass() : undefined),
        beforeEvaluation: () => (isSaved ? inspected.pass() : undefined),
      });
      for (const name of ['attic', 'cellar', 'garage']) {
        const joined = once(events, 'worker-joined');
        await cluster.join({ name, engine: name === 'attic' ? fakeEngine({ beforeSlice: hold.pass }) : engine });
        await joined;
      }
      await hold.reached;
      expect((await pageOf(cluster, '/readyz')).status).toBe(200);
      const first = await statusOf(cluster);
      expect(first.run).toMatchObject({ phase: 'training', step: 0, exact: true, workersJoined: 3 });
      expect(first.workers.map(({ name }) => name)).toEqual(['attic', 'cellar', 'garage']);
      const [attic, cellar] = first.workers;
      expect(attic).toMatchObject({
        state: 'working',
        slices: [0],
        engine: 'fake',
        fingerprint: 'fake/1',
        device: 'a fake device',
      });
      expect(first.run.slices).toEqual([
        { workers: [attic.id], answeredBy: null },
        { workers: [cellar.id], answeredBy: expect.toSatisfy((by) => by === null || by === cellar.id) },
      ]);
      expect(first.workers[2]).toMatchObject({ state: 'spare', slices: [], timesLost: 0 });

      const checkpoint = once(events, 'checkpoint');
      const lost = once(events, 'worker-lost');
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

      const joined = once(events, 'worker-joined');
      await cluster.join({ name: 'attic', engine });
      await joined;
      rejoined.open();
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
      inspected.open();
      await report;
    } finally {
      await cluster.close();
    }
  });

  it('reports a late worker, and the worker that computes its slices speculatively', async () => {
    const [hold, next] = [gate(), gate()];
    const clock = new FakeClock();
    const cluster = await startCluster({ minWorkers: 2, slices: 2, steps: 14, stragglerFactor: 2, clock });
    try {
      const { events } = cluster.coordinator;
      let isSlow = false;
      let isNextStep = false;
      const slow = fakeEngine({ beforeSlice: () => (isSlow ? hold.pass() : undefined) });
      const quick = fakeEngine({ beforeSlice: () => (isNextStep ? next.pass() : undefined) });
      // Run enough steps for a median. Each worker computes one slice per step.
      events.on('step', ({ step }) => {
        isSlow = step >= 10;
        isNextStep = step >= 11;
      });
      await cluster.join({ name: 'slow', engine: slow });
      await cluster.join({ name: 'quick', engine: quick });
      await hold.reached;
      await expect.poll(() => cluster.coordinator.status().run.slices.map(({ answeredBy }) => answeredBy)).toContain(2);
      const straggler = once(events, 'straggler');
      // The time limit for stragglers is at least 100 ms, and no time has passed yet.
      clock.advance(100);
      expect((await straggler)[0]).toMatchObject({ name: 'slow', speculative: ['quick'] });
      // The other worker has computed the slice, so the step is complete. When the next step starts, the slow worker is
      // still busy.
      await next.reached;
      const { workers, run } = await statusOf(cluster);
      expect(workers[0]).toMatchObject({ name: 'slow', state: 'late' });
      expect(run.stragglers).toBe(1);
      hold.open();
      next.open();
      await cluster.coordinator.report;
    } finally {
      hold.open();
      next.open();
      await cluster.close();
    }
  });
});

describe('lockstep status and lockstep workers', () => {
  it('print the state of a run', async () => {
    const hold = gate();
    let isHeld = false;
    const cluster = await startCluster({ minWorkers: 2, slices: 2, steps: 3000, stragglerFactor: 0 });
    try {
      const { url, events } = cluster.coordinator;
      // Hold the run while the commands run.
      events.on('step', () => (isHeld = true));
      const engine = fakeEngine({ beforeSlice: () => (isHeld ? hold.pass() : undefined) });
      await cluster.join({ name: 'attic', engine });
      await cluster.join({ name: 'cellar', engine });
      await hold.reached;
      const [run, workers, json] = await Promise.all([
        runCli(['status', url]),
        runCli(['workers', url.replace('ws://', '')]),
        runCli(['workers', url.replace('ws', 'http'), '--json']),
      ]);
      expect([run.status, workers.status, json.status]).toEqual([0, 0, 0]);
      expect(run.output).toMatch(/^training · .*\nstep 1\/3000 · epoch 1\/273 · loss \d/);
      expect(run.output).toMatch(/\n2 workers · 0 lost · 0 slices reassigned · 0 stragglers · exact\n/);
      expect(workers.output).toMatch(
        /^name +state +engine +device +slices .* lost +rejoined +address\nattic +\w+ +fake +a fake device +.*\ncellar +\w+ +fake +a fake device /,
      );
      expect(runStatus.parse(JSON.parse(json.output)).workers).toHaveLength(2);
    } finally {
      hold.open();
      await cluster.close();
    }
  });

  it('explain why they get no answer', async () => {
    const cluster = await startCluster({ token: 'secret', minWorkers: 9, port: await freePort() });
    const { url, port } = cluster.coordinator;
    const wrong = await runCli(['status', url], { LOCKSTEP_TOKEN: 'other' });
    await cluster.close();
    expect(wrong).toEqual({
      status: 1,
      output:
        `lockstep: 127.0.0.1:${port} denied access: the token is unknown: pass a viewer, operator or owner token ` +
        'with LOCKSTEP_TOKEN or --token-file\n',
    });
    const nobody = await runCli(['workers', url]);
    expect(nobody.status).toBe(1);
    expect(nobody.output).toMatch(
      `lockstep: no response from 127.0.0.1:${port} (connect ECONNREFUSED 127.0.0.1:${port}): check the port, and that the coordinator is running there`,
    );
    const nonsense = await runCli(['workers', 'ftp://attic']);
    expect(nonsense).toMatchObject({ status: 2, output: expect.stringContaining('it must be HOST:PORT') });
  });
});
