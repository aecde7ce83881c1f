// Tabs of real browsers join a run by its link. The weights have the bits that a Node worker computes.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCoordinator, type Coordinator, type CoordinatorOptions } from '../../coordinator/main.js';
import type { RunEvent, RunEventOf } from '../../coordinator/run/run-events.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { startWorker } from '../../worker/main.js';
import { browserNames, openBrowserOrReason, type Tab, type TestBrowser } from '../support/browsers.js';
import { Cable } from '../support/cable.js';
import { smallRun } from '../support/local-cluster.js';

const dataset = synthesizeDataset({ trainingImages: 400, testImages: 300 });
const run = { ...smallRun, steps: 8 } as const;

let folder: string;
/** The weights that a Node worker computes. */
let expected: string;

async function startRun(options: CoordinatorOptions = {}): Promise<Coordinator> {
  const runDir = await mkdtemp(path.join(folder, 'run-'));
  return startCoordinator({ ...run, port: 0, dataset, runDir, joinLink: true, ...options });
}

async function nodeWorker({ url }: Coordinator): Promise<void> {
  await startWorker({ url, engine: 'wasm', cache: null });
}

/** Resolves with the first event of a type that satisfies a condition. */
async function event<Type extends RunEvent['type']>(
  { events }: Coordinator,
  type: Type,
  condition: (event: RunEventOf<Type>) => boolean = () => true,
): Promise<RunEventOf<Type>> {
  return new Promise((resolve) => {
    const look = (found: RunEvent) => {
      if (found.type !== type || !condition(found as RunEventOf<Type>)) return;
      events.off('event', look);
      resolve(found as RunEventOf<Type>);
    };
    events.on('event', look);
  });
}

/** Resolves when a step has ended, so that the workers compute the next one. */
const step = (coordinator: Coordinator, count: number) => event(coordinator, 'step', ({ step: made }) => made >= count);

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lockstep-tabs-'));
  const coordinator = await startRun({ joinLink: false });
  await nodeWorker(coordinator);
  expected = (await coordinator.report).weightsSha256;
});
afterAll(() => rm(folder, { recursive: true }));

describe.each(browserNames)('a tab of %s', (name) => {
  let browser: TestBrowser | undefined;

  beforeAll(async () => {
    const opened = await openBrowserOrReason(name, 'workers in tabs');
    if (typeof opened !== 'string') browser = opened;
  });
  afterAll(() => browser?.close());

  /** Opens the link and clicks the only button. @param port port to connect to instead of the coordinator's */
  async function join(coordinator: Coordinator, port = coordinator.port): Promise<Tab> {
    const link = new URL(coordinator.joinLink()!.url);
    link.port = String(port);
    const tab = await browser!.openTab();
    await tab.goto(link.href);
    await tab.click('button');
    return tab;
  }

  /** Waits for the end of the run. @returns its report */
  async function reportOf(coordinator: Coordinator, ...tabs: Tab[]) {
    const report = await coordinator.report;
    expect(report).toMatchObject({ weightsSha256: expected, exact: true });
    for (const tab of tabs) {
      await tab.waitForText('The run is finished');
      expect(tab.problems).toEqual([]);
      await tab.close();
    }
    return report;
  }

  it('computes the bits of a Node worker', async ({ skip }) => {
    skip(browser === undefined);
    const coordinator = await startRun();
    await reportOf(coordinator, await join(coordinator));
  });

  it('computes them beside another tab and a Node worker', async ({ skip }) => {
    skip(browser === undefined);
    const coordinator = await startRun({ minWorkers: 3 });
    const tabs = [await join(coordinator), await join(coordinator)];
    await nodeWorker(coordinator);
    const { workers } = await reportOf(coordinator, ...tabs);
    expect(workers).toHaveLength(3);
    for (const { images } of workers) expect(images).toBeGreaterThan(0);
  });

  it.for([
    { encoding: 'int8' },
    { encoding: 'int8', localSteps: 3 },
  ] as const)('computes the bits of a Node worker with %o', async (options, { skip }) => {
    skip(browser === undefined);
    const beside = await startRun({ joinLink: false, ...options });
    await nodeWorker(beside);
    const { weightsSha256 } = await beside.report;
    expect(weightsSha256).not.toBe(expected);
    const coordinator = await startRun(options);
    const tab = await join(coordinator);
    expect(await coordinator.report).toMatchObject({ weightsSha256, exact: true });
    await tab.waitForText('The run is finished');
    expect(tab.problems).toEqual([]);
    await tab.close();
  });

  it('may be closed during a step', async ({ skip }) => {
    skip(browser === undefined);
    const coordinator = await startRun();
    const tab = await join(coordinator);
    const lost = event(coordinator, 'worker-lost');
    await step(coordinator, 3);
    await tab.close();
    await lost;
    await nodeWorker(coordinator);
    await reportOf(coordinator);
  });

  it('continues by itself after a reload, as the same worker, with its shards', async ({ skip }) => {
    skip(browser === undefined);
    const coordinator = await startRun();
    const joined = event(coordinator, 'worker-joined');
    const tab = await join(coordinator);
    const { name } = await joined;
    await step(coordinator, 3);
    const [again] = await Promise.all([event(coordinator, 'worker-joined'), tab.reload()]);
    expect(again.name).toBe(name);
    await reportOf(coordinator, tab);
  });

  it('survives a link that is cut for 15 s', async ({ skip }) => {
    skip(browser === undefined);
    const coordinator = await startRun({ heartbeatInterval: 1, heartbeatTimeout: 5 });
    const cable = await Cable.to(coordinator.port);
    const tab = await join(coordinator, cable.port);
    await step(coordinator, 3);
    cable.cut();
    const { reason } = await event(coordinator, 'worker-lost');
    expect(reason).toBe('silent for more than 5 s');
    setTimeout(() => cable.mend(), 15_000);
    await reportOf(coordinator);
    await tab.close();
    cable.close();
  });
});
