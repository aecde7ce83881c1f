// Tabs of real browsers join a run by its link. The weights have the bits that a Node worker computes.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startCoordinator, type Coordinator, type CoordinatorOptions } from '../../coordinator/main.js';
import type { RunEvent, RunEventOf } from '../../coordinator/run/run-events.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { startWorker, type Worker, type WorkerOptions } from '../../worker/main.js';
import {
  browserNames,
  openBrowserOrReason,
  type BrowserName,
  type Tab,
  type TestBrowser,
} from '../support/browsers.js';
import { Cable } from '../support/cable.js';
import { Authority } from '../support/certificates.js';
import { printIfFailed } from '../support/failed-tab.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { freePort } from '../support/free-port.js';
import { smallRun } from '../support/local-cluster.js';

const inFolder = folderPerFile();
const dataset = synthesizeDataset({ trainingImages: 400, testImages: 300 });
// Many steps, so that a run does not end before a tab has been closed, reloaded or frozen.
const run = { ...smallRun, steps: 60 } as const;
/** A name for 127.0.0.1 that browsers do not trust as they trust loopback addresses. */
const host = 'coordinator.test';

const browsers = new Map<BrowserName, TestBrowser>();
/** The weights that a Node worker computes. */
let expected: string;
let runs = 0;

async function startRun(options: CoordinatorOptions = {}): Promise<Coordinator> {
  return startCoordinator({ ...run, port: 0, dataset, runDir: inFolder(`run-${++runs}`), joinLink: true, ...options });
}

async function nodeWorker({ url }: Coordinator, options: Partial<WorkerOptions> = {}): Promise<Worker> {
  return startWorker({ url, engine: 'wasm', cache: null, ...options });
}

/** Resolves with the first event of a type that satisfies a condition. Rejects if the run ends before. */
async function event<Type extends RunEvent['type']>(
  { events, report }: Coordinator,
  type: Type,
  condition: (event: RunEventOf<Type>) => boolean = () => true,
): Promise<RunEventOf<Type>> {
  return new Promise((resolve, reject) => {
    report.then(() => reject(new Error(`the run has ended without ${type}`)), reject);
    const look = (found: RunEvent) => {
      if (found.type !== type || !condition(found as RunEventOf<Type>)) return;
      events.off('event', look);
      resolve(found as RunEventOf<Type>);
    };
    events.on('event', look);
  });
}

/** Resolves when this number of steps have ended, so that the workers compute the next one. */
const step = (coordinator: Coordinator, count: number) => event(coordinator, 'step', ({ step: made }) => made >= count);

/** Opens the page of the link. @param port port to connect to instead of the coordinator's */
async function openLink(name: BrowserName, coordinator: Coordinator, port = coordinator.port): Promise<Tab> {
  const link = new URL(coordinator.joinLink()!.url);
  link.port = String(port);
  const tab = await browsers.get(name)!.openTab();
  printIfFailed(name, tab);
  await tab.goto(link.href);
  return tab;
}

/** Opens the link and clicks the only button. */
async function join(...link: Parameters<typeof openLink>): Promise<Tab> {
  const tab = await openLink(...link);
  await tab.waitForText('Start computing');
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

beforeAll(async () => {
  const opening = browserNames.map(async (name) => {
    const opened = await openBrowserOrReason(name, 'workers in tabs', {
      namedHost: host,
      ignoreCertificateErrors: true,
    });
    if (typeof opened !== 'string') browsers.set(name, opened);
  });
  const coordinator = await startRun({ joinLink: false });
  await nodeWorker(coordinator);
  expected = (await coordinator.report).weightsSha256;
  await Promise.all(opening);
});
afterAll(async () => {
  for (const browser of browsers.values()) await browser.close();
});

describe.each(browserNames)('a tab of %s', (name) => {
  beforeEach(({ skip }) => skip(!browsers.has(name)));

  it('computes the bits of a Node worker', async () => {
    const coordinator = await startRun();
    const { workersJoined } = await reportOf(coordinator, await join(name, coordinator));
    expect(workersJoined).toBe(1);
  });

  it('computes them beside another tab, which hides it, and a Node worker', async () => {
    const coordinator = await startRun({ minWorkers: 3 });
    const tabs = [await join(name, coordinator), await join(name, coordinator)];
    await tabs[1].show();
    expect(await tabs[0].evaluate('document.visibilityState')).toBe('hidden');
    await nodeWorker(coordinator);
    const { workers } = await reportOf(coordinator, ...tabs);
    expect(workers).toHaveLength(3);
    for (const { images } of workers) expect(images).toBeGreaterThan(0);
  });

  it.each([{ encoding: 'int8' }, { encoding: 'int8', localSteps: 3 }] as const)(
    'computes the bits of a Node worker with %o',
    async (options) => {
      const beside = await startRun({ joinLink: false, ...options });
      await nodeWorker(beside);
      const { weightsSha256 } = await beside.report;
      expect(weightsSha256).not.toBe(expected);
      const coordinator = await startRun(options);
      const tab = await join(name, coordinator);
      expect(await coordinator.report).toMatchObject({ weightsSha256, exact: true });
      await tab.waitForText('The run is finished');
      expect(tab.problems).toEqual([]);
      await tab.close();
    },
  );

  it('may be closed during a step', async () => {
    const coordinator = await startRun();
    const tab = await join(name, coordinator);
    const lost = event(coordinator, 'worker-lost');
    await step(coordinator, 3);
    await tab.close();
    await lost;
    await nodeWorker(coordinator);
    const { workersJoined } = await reportOf(coordinator);
    expect(workersJoined).toBe(2);
  });

  it('continues by itself after a reload, as the same worker, with its shards', async () => {
    const coordinator = await startRun();
    const joined = event(coordinator, 'worker-joined');
    const tab = await join(name, coordinator);
    const { name: workerName } = await joined;
    await step(coordinator, 3);
    const [again] = await Promise.all([event(coordinator, 'worker-joined'), tab.reload()]);
    expect(again.name).toBe(workerName);
    await reportOf(coordinator, tab);
  });

  it('computes with one thread over plain HTTP, and says what TLS would add', async () => {
    const port = await freePort();
    const publicUrl = `http://${host}:${port}`;
    const coordinator = await startRun({ port, publicUrl, token: 'of this test', minWorkers: 2 });
    const tab = await join(name, coordinator);
    expect(await tab.evaluate('isSecureContext')).toBe(false);
    await tab.waitForText('this device computes with one thread and without the shard cache; TLS adds both');
    await tab.waitForText(/, 1 thread\n/);
    await tab.click('button[aria-controls="details"]');
    await tab.waitForText('off: browsers allow it over TLS only');
    await nodeWorker(coordinator, { token: 'of this test' });
    const { workers } = await reportOf(coordinator, tab);
    for (const { images } of workers) expect(images).toBeGreaterThan(0);
  });

  it('computes with two threads over TLS, with a cache', async () => {
    const port = await freePort();
    const authority = await Authority.make(inFolder(), `authority-${name}`);
    const { cert, key } = await authority.sign({ name: `server-${name}`, hosts: [host] });
    const tls = { tlsCert: cert, tlsKey: key, publicUrl: `https://${host}:${port}`, token: 'of this test' };
    const coordinator = await startRun({ port, ...tls });
    const tab = await openLink(name, coordinator);
    expect(await tab.evaluate('crossOriginIsolated')).toBe(true);
    // The page itself leaves one core free, so that it has one thread on a machine of two cores.
    const options = { threads: 2, token: new URL(coordinator.joinLink()!.url).hash.slice(1) };
    const worked = tab.evaluate<object>(`(async () => {
      const { startWorker } = await import('/join/index.js');
      const worker = startWorker(location.origin, ${JSON.stringify(options)});
      const said = { threads: worker.threads };
      worker.on('engine', ({ device }) => (said.device = device));
      worker.on('cacheOpened', ({ kind }) => (said.cache = kind));
      return { ...(await worker.done), ...said };
    })()`);
    await reportOf(coordinator);
    expect(await worked).toMatchObject({
      reason: 'the run has ended',
      threads: 2,
      device: expect.stringMatching(/, 2 threads$/) as string,
      cache: 'opfs',
    });
    expect(tab.problems).toEqual([]);
    await tab.close();
  });
});

describe('a tab of Chromium', () => {
  beforeEach(({ skip }) => skip(!browsers.has('Chromium')));

  it('says that its storage is full, and continues', async () => {
    const coordinator = await startRun({ minWorkers: 2, pauseBelow: 2 });
    const tab = await openLink('Chromium', coordinator);
    const { origin } = new URL(coordinator.joinLink()!.url);
    await tab.devTools!.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1 });
    await tab.click('button');
    const worker = await nodeWorker(coordinator);
    await step(coordinator, 1);
    // The run pauses until another worker joins, which leaves time to read the page.
    worker.stop('it has done enough');
    await tab.waitForText(
      "The training images cannot be kept on this device, so the next visit downloads them again. The browser's storage is full",
    );
    await nodeWorker(coordinator);
    const { workersJoined } = await reportOf(coordinator, tab);
    expect(workersJoined).toBe(3);
  });
});

// These mostly wait, so they run at the same time.
describe.concurrent('a worker returns by itself', () => {
  /** Two workers of which one will be lost. Only the step that it is lost in ends without it. */
  const fragile = { minWorkers: 2, pauseBelow: 2, heartbeatInterval: 1, heartbeatTimeout: 5, stragglerFactor: 0 };

  it.for(browserNames)('after the link of a tab of %s was cut for 15 s', async (name, { skip }) => {
    skip(!browsers.has(name));
    const coordinator = await startRun(fragile);
    const cable = await Cable.to(coordinator.port);
    const joined = event(coordinator, 'worker-joined');
    const tab = await join(name, coordinator, cable.port);
    const { name: workerName } = await joined;
    await nodeWorker(coordinator);
    await step(coordinator, 3);
    // A run does not wait for a tab without slices.
    await event(coordinator, 'work-assigned', ({ worker }) => worker.name === workerName);
    const lost = event(coordinator, 'worker-lost');
    cable.cut();
    setTimeout(() => cable.mend(), 15_000);
    expect((await lost).reason).toBe('silent for more than 5 s');
    await step(coordinator, coordinator.status().run.step + 1);
    await reportOf(coordinator, tab);
    cable.close();
  });

  it('after a tab of Chromium was frozen', async ({ skip }) => {
    skip(!browsers.has('Chromium'));
    const coordinator = await startRun(fragile);
    const joined = event(coordinator, 'worker-joined');
    const tab = await join('Chromium', coordinator);
    const { name: workerName } = await joined;
    // Only hidden pages can be frozen.
    const other = await browsers.get('Chromium')!.openTab();
    await other.show();
    await nodeWorker(coordinator);
    await step(coordinator, 3);
    // A run does not wait for a tab without slices.
    await event(coordinator, 'work-assigned', ({ worker }) => worker.name === workerName);
    const lost = event(coordinator, 'worker-lost');
    await tab.devTools!.send('Page.setWebLifecycleState', { state: 'frozen' });
    expect(await lost).toMatchObject({ name: workerName, reason: 'silent for more than 5 s' });
    await step(coordinator, coordinator.status().run.step + 1);
    const again = event(coordinator, 'worker-joined');
    await tab.devTools!.send('Page.setWebLifecycleState', { state: 'active' });
    expect((await again).name).toBe(workerName);
    await reportOf(coordinator, tab);
  });
});
