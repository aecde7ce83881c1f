// Benchmarks tabs of Chromium and Firefox beside a worker process: whole runs of ResNet-20 in turns, the time from the
// click to the first slice, and the memory of a tab.
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startCoordinator, type Coordinator, type CoordinatorOptions } from '../../coordinator/main.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { medianOf } from '../../shared/median.js';
import { processorName } from '../../shared/processor.js';
import {
  browserNames,
  openBrowserOrReason,
  type BrowserName,
  type Tab,
  type TestBrowser,
} from '../support/browsers.js';
import { startCli } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { summaryOf } from './paired.js';

/** 10,000 training images, which take 30.7 MB. */
const dataset = synthesizeDataset({ trainingImages: 10_000, testImages: 100 });
const throughputRun = { depth: 20, batchSize: 128, slices: 2, steps: 30, validationSplit: 0 } as const;
/** One slice, so that a worker needs the whole shard before it computes. */
const startRun = { depth: 20, batchSize: 32, slices: 1, steps: 4, validationSplit: 0 } as const;

type Runner = BrowserName | 'Node.js';

/** @param args command-line arguments: `--turns` */
export async function benchTabs(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { turns: { type: 'string', default: '5' } } });
  const turns = Number(values.turns);
  const folder = await mkdtemp(path.join(tmpdir(), 'lockstep-tabs-'));
  const browsers = new Map<BrowserName, TestBrowser>();
  try {
    for (const name of browserNames) {
      const browser = await openBrowserOrReason(name, 'its measurements');
      if (typeof browser !== 'string') browsers.set(name, browser);
    }
    say(`${cpus().length} cores, ${processorName()}, Node.js ${process.versions.node}; ${turns} turns each`);
    await compareThroughput(browsers, folder, turns);
    for (const [name, browser] of browsers) await measureStart(name, browser, folder, turns);
    for (const [name, browser] of browsers) await measureMemory(name, browser, folder);
  } finally {
    for (const browser of browsers.values()) await browser.close();
    await rm(folder, { recursive: true });
  }
}

async function compareThroughput(browsers: ReadonlyMap<BrowserName, TestBrowser>, folder: string, turns: number) {
  const runners: Runner[] = ['Node.js', ...browsers.keys()];
  const rates = new Map<Runner, number[]>(runners.map((runner) => [runner, []]));
  // The first turn fills the caches.
  for (let turn = -1; turn < turns; turn++) {
    for (const runner of runners) {
      const coordinator = await open(folder, throughputRun);
      const worker =
        runner === 'Node.js' ? joinProcess(coordinator) : await joinTab(browsers.get(runner)!, coordinator);
      const { imagesPerSecond } = await coordinator.report;
      await worker.close();
      if (turn >= 0) rates.get(runner)!.push(imagesPerSecond);
    }
  }
  const ofNode = rates.get('Node.js')!;
  say('whole runs of ResNet-20, 30 steps of 128 images in 2 slices, one thread:');
  for (const [runner, values] of rates) {
    const { median, quartiles } = summaryOf(values.map((value, turn) => value / ofNode[turn]));
    const ratio = `${median.toFixed(3)} of Node.js (quartiles ${quartiles.map((each) => each.toFixed(3)).join(' to ')})`;
    say(`  ${runner}: ${medianOf(values).toFixed(0)} images/s${runner === 'Node.js' ? '' : `, ${ratio}`}`);
  }
}

/** Measures the time from the click to the first slice, on the first visit and on a later one. */
async function measureStart(name: BrowserName, browser: TestBrowser, folder: string, turns: number): Promise<void> {
  const times = { first: [] as number[], later: [] as number[] };
  for (let turn = 0; turn < turns; turn++) {
    // Storage belongs to an origin, of which the port is a part.
    const port = await freePort();
    for (const visit of ['first', 'later'] as const) {
      const coordinator = await open(folder, { ...startRun, port });
      const tab = await openTab(browser, coordinator);
      const firstSlice = new Promise<number>((resolve) => {
        coordinator.events.once('answer-received', () => resolve(performance.now()));
      });
      const clickedMs = performance.now();
      await tab.click('button');
      times[visit].push((await firstSlice) - clickedMs);
      await coordinator.report;
      await tab.close();
    }
  }
  const [first, later] = [times.first, times.later].map((each) => (medianOf(each) / 1000).toFixed(2));
  say(`${name}, from the click to the first slice, with a shard of 30.7 MB: ${first} s, on a later visit ${later} s`);
}

async function measureMemory(name: BrowserName, browser: TestBrowser, folder: string): Promise<void> {
  const coordinator = await open(folder, { ...throughputRun, steps: 10 });
  const tab = await joinTab(browser, coordinator);
  for (let step = 0; step < 5; step++) await once(coordinator.events, 'step');
  const bytes = Math.max(...(await Promise.all((await tabProcesses()).map(residentBytes))));
  say(`${name}, memory of the tab's process while it computes: ${(bytes / 2 ** 20).toFixed(0)} MiB`);
  await coordinator.report;
  await tab.close();
}

/** Returns the IDs of the processes that this one, or one of its children, started for tabs. */
async function tabProcesses(): Promise<string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const parents = new Map(await Promise.all(ids.map(async (id) => [id, await parentOf(id)] as const)));
  const isOurs = (id: string | undefined): boolean =>
    id !== undefined && (id === `${process.pid}` || isOurs(parents.get(id)));
  const ours = ids.filter(isOurs);
  const commandLines = await Promise.all(ours.map((id) => readProcess(id, 'cmdline')));
  return ours.filter((_, index) => /--type=renderer|-content[^]*\0tab\0/.test(commandLines[index]));
}

async function parentOf(id: string): Promise<string | undefined> {
  return /^PPid:\t(\d+)/m.exec(await readProcess(id, 'status'))?.[1];
}

async function residentBytes(id: string): Promise<number> {
  return 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(await readProcess(id, 'status'))?.[1] ?? 0);
}

/** Returns an empty text if the process has ended. */
async function readProcess(id: string, file: string): Promise<string> {
  return readFile(`/proc/${id}/${file}`, 'utf8').catch(() => '');
}

async function open(folder: string, options: CoordinatorOptions): Promise<Coordinator> {
  const runDir = await mkdtemp(path.join(folder, 'run-'));
  return startCoordinator({ port: 0, ...options, dataset, runDir, joinLink: true });
}

async function joinTab(browser: TestBrowser, coordinator: Coordinator): Promise<Tab> {
  const tab = await openTab(browser, coordinator);
  await tab.click('button');
  return tab;
}

function joinProcess({ url }: Coordinator): { close(): Promise<void> } {
  const { exited } = startCli(['worker', url, '--engine', 'wasm', '--threads', '1', '--quiet']);
  return { close: async () => void (await exited) };
}

async function openTab(browser: TestBrowser, coordinator: Coordinator): Promise<Tab> {
  const tab = await browser.openTab();
  await tab.goto(coordinator.joinLink()!.url);
  await tab.waitForText('training images');
  return tab;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
