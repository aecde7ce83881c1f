// What the dashboard costs a run: images/s and the coordinator's own CPU time with nobody watching, with a socket that is
// told everything, and with the page in a browser on this machine, which then shares the cores. The three take turns
// within one run.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { startCoordinator, type Coordinator } from '../../coordinator/main.js';
import { synthesizeDataset } from '../../shared/data/synthesize.js';
import { openChromiumOrReason } from '../support/chromium.js';

const turns = 12;
const stepsPerTurn = 15;
const workerCount = 2;

/** Begins to watch. @returns what ends it */
type Watching = () => Promise<() => Promise<void>>;

interface Measured {
  imagesPerSecond: number[];
  /** The coordinator's own, of all its threads, for each second. */
  cpuPart: number[];
}

export async function benchDashboard(): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'lockstep-bench-'));
  const browser = await openChromiumOrReason('the page in a browser');
  const coordinator = await startCoordinator({
    dataset: synthesizeDataset({ trainingImages: 5_000, testImages: 250 }),
    runDir: path.join(folder, 'run'),
    port: 0,
    minWorkers: workerCount,
    steps: 100_000,
    // Nothing but steps: no validation, and no checkpoint that anybody would wait for.
    validationSplit: 0,
    keepCheckpoints: 1,
    tensorboard: false,
  });
  const cli = fileURLToPath(new URL('../../cli.js', import.meta.url));
  const workers = Array.from({ length: workerCount }, () =>
    spawn(process.execPath, [cli, 'worker', coordinator.url, '--engine', 'wasm', '--no-cache', '--quiet']),
  );
  const kinds: Record<string, Watching> = {
    'nobody watches': () => Promise.resolve(() => Promise.resolve()),
    'a socket': () => openSocket(coordinator),
  };
  if (typeof browser !== 'string') {
    kinds['a page in a browser here'] = async () => {
      const page = await browser.newPage();
      await page.goto(coordinator.dashboardUrl!);
      await page.getByRole('table', { name: /Workers/ }).waitFor();
      return () => page.close();
    };
  }
  const measured = new Map<string, Measured>();
  try {
    await steps(coordinator, stepsPerTurn);
    for (let turn = 0; turn < turns; turn++) {
      for (const [kind, watch] of Object.entries(kinds)) {
        const leave = await watch();
        const result = measured.get(kind) ?? { imagesPerSecond: [], cpuPart: [] };
        measured.set(kind, result);
        const { imagesPerSecond, cpuPart } = await steps(coordinator, stepsPerTurn);
        result.imagesPerSecond.push(imagesPerSecond);
        result.cpuPart.push(cpuPart);
        await leave();
      }
    }
  } finally {
    coordinator.stop();
    await Promise.allSettled([coordinator.report]);
    for (const worker of workers) worker.kill();
    if (typeof browser !== 'string') await browser.close();
    await rm(folder, { recursive: true });
  }
  print(measured);
}

async function openSocket({ url }: Coordinator): Promise<() => Promise<void>> {
  const socket = new WebSocket(`${url}/watch`);
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  socket.on('message', () => undefined);
  return () =>
    new Promise((resolve) => {
      socket.once('close', () => resolve());
      socket.close();
    });
}

/** So many steps from the next one on; that one may have begun before. */
async function steps({ events }: Coordinator, count: number): Promise<{ imagesPerSecond: number; cpuPart: number }> {
  let startedMs = 0;
  let cpuBefore = process.cpuUsage();
  let images = 0;
  let left = count + 1;
  await new Promise<void>((resolve) => {
    const onStep = ({ imagesPerSecond, phases }: { imagesPerSecond: number; phases: { step: number } }) => {
      if (left-- === count + 1) {
        startedMs = performance.now();
        cpuBefore = process.cpuUsage();
        return;
      }
      images += (imagesPerSecond * phases.step) / 1000;
      if (left > 0) return;
      events.off('step', onStep);
      resolve();
    };
    events.on('step', onStep);
  });
  const seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { imagesPerSecond: images / seconds, cpuPart: (user + system) / 1e6 / seconds };
}

function print(measured: ReadonlyMap<string, Measured>): void {
  const [[, alone]] = measured;
  process.stdout.write(
    `ResNet-20, ${workerCount} wasm workers, ${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown'}, ` +
      `Node ${process.versions.node}; ${turns} turns of ${stepsPerTurn} steps each, medians\n` +
      "watching                   images/s   rate / nobody's (quartiles)   coordinator's CPU\n",
  );
  for (const [kind, { imagesPerSecond, cpuPart }] of measured) {
    const ratios = imagesPerSecond.map((rate, turn) => rate / alone.imagesPerSecond[turn]);
    const quartiles = `${quantile(ratios, 0.25).toFixed(3)}–${quantile(ratios, 0.75).toFixed(3)}`;
    process.stdout.write(
      `${kind.padEnd(26)} ${quantile(imagesPerSecond, 0.5).toFixed(1).padStart(8)}   ` +
        `${quantile(ratios, 0.5).toFixed(3)} (${quartiles})`.padEnd(29) +
        `${(100 * quantile(cpuPart, 0.5)).toFixed(1)}% of a core\n`,
    );
  }
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
}
