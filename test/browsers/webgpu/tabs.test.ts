// Tabs of real browsers train with the webgpu engine, on software drivers, with the bits of a Node worker.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCoordinator, type Coordinator, type CoordinatorOptions } from '../../../coordinator/main.js';
import type { RunEventOf } from '../../../coordinator/run/run-events.js';
import { synthesizeDataset } from '../../../shared/dataset/synthesize.js';
import {
  browserNames,
  openBrowserOrReason,
  type BrowserName,
  type Tab,
  type TestBrowser,
} from '../../support/browsers.js';
import { startCli } from '../../support/cli.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { fewKernels } from '../../support/sample-graphs.js';
import { webGpuEnvironmentOrReason } from '../../support/webgpu-environment.js';

const inFolder = folderPerFile();
const environment = await webGpuEnvironmentOrReason('the webgpu engine in browsers');
const isMissing = typeof environment === 'string';
const env = isMissing ? {} : environment;
const dataset = synthesizeDataset({ trainingImages: 160, testImages: 16 });
const network = fewKernels as unknown as Exclude<CoordinatorOptions['network'], string | undefined>;
const small = { network, batchSize: 8, slices: 2, seed: 5, validationSplit: 0 } as const;

const browsers = new Map<BrowserName, TestBrowser>();
/** The weights that a Node worker computes. */
let expected: string;
let runs = 0;

async function startRun(options: CoordinatorOptions = {}): Promise<Coordinator> {
  const runDir = inFolder(`run-${++runs}`);
  const common = { ...small, steps: 8, engine: 'webgpu', joinLink: true, port: 0 } as const;
  return startCoordinator({ ...common, dataset, runDir, tensorboard: false, ...options });
}

const nodeWorker = ({ url }: Coordinator) => startCli(['worker', url, '--engine', 'webgpu', '--no-cache'], env);

/** Opens the run's link and clicks the only button. */
async function join(name: BrowserName, coordinator: Coordinator): Promise<Tab> {
  const tab = await browsers.get(name)!.openTab();
  await tab.goto(coordinator.joinLink()!.url);
  await tab.waitForText('Start computing');
  await tab.click('button');
  return tab;
}

beforeAll(async () => {
  if (isMissing) return;
  for (const name of browserNames) {
    const opened = await openBrowserOrReason(name, 'the webgpu engine', { webGpu: env });
    if (typeof opened !== 'string') browsers.set(name, opened);
  }
  const coordinator = await startRun();
  const worker = nodeWorker(coordinator);
  expected = (await coordinator.report).weightsSha256;
  await worker.exited;
});
afterAll(async () => {
  for (const browser of browsers.values()) await browser.close();
});

describe.skipIf(isMissing).each(browserNames)('a tab of %s with WebGPU', (name) => {
  it('computes the bits of a Node worker', async ({ skip }) => {
    skip(!browsers.has(name));
    const coordinator = await startRun();
    const tab = await join(name, coordinator);
    const report = await coordinator.report;
    expect(report).toMatchObject({ weightsSha256: expected, workersJoined: 1, exactAsProbed: true });
    await tab.waitForText('The run is finished');
    expect(tab.problems).toEqual([]);
    await tab.close();
  });
});

describe.skipIf(isMissing)('a tab of Chromium with WebGPU', () => {
  it('computes beside a Node worker in a run that is exact as probed', async ({ skip }) => {
    skip(!browsers.has('Chromium'));
    const coordinator = await startRun({ minWorkers: 2 });
    const worker = nodeWorker(coordinator);
    const tab = await join('Chromium', coordinator);
    const report = await coordinator.report;
    expect(report).toMatchObject({ weightsSha256: expected, exact: false, exactAsProbed: true, workersJoined: 2 });
    for (const { images } of report.workers) expect(images).toBeGreaterThan(0);
    await worker.exited;
    await tab.close();
  });

  it('loses its GPU in the middle of a run, and computes the same bits afterward', async ({ skip }) => {
    skip(!browsers.has('Chromium'));
    const coordinator = await startRun({ steps: 20 });
    const lost = new Promise<RunEventOf<'worker-lost'>>((resolve) => coordinator.events.once('worker-lost', resolve));
    coordinator.events.on('step', ({ step }) => {
      if (step === 8) void browsers.get('Chromium')!.crashGpuProcess!();
    });
    const tab = await join('Chromium', coordinator);
    expect((await lost).reason).toContain('the GPU was lost');
    const report = await coordinator.report;
    expect(report).toMatchObject({ exactAsProbed: true, workersJoined: 2, workersLost: 1 });
    await tab.close();
    const undisturbed = await startRun({ steps: 20 });
    const worker = nodeWorker(undisturbed);
    expect((await undisturbed.report).weightsSha256).toBe(report.weightsSha256);
    await worker.exited;
  });
});
