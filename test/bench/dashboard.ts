// Measures what an open dashboard costs a run: images/s and the coordinator's CPU time with and without a page, in
// adjacent turns of the same run. A socket in another process shows the cost to the coordinator alone; a browser page
// on this machine also competes with the workers for cores. Pairs of turns that both run without a page show the noise.
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startCoordinator, type Coordinator } from '../../coordinator/main.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { openChromiumOrReason } from '../support/chromium.js';
import { summaryOf } from './paired.js';

const workerCount = 2;
/** Message that tells the reader to stop reading. */
const noUrl = '';

/** Opens a page and returns a function that closes it. */
type OpenPage = () => Promise<() => Promise<void>>;

interface Turn {
  imagesPerSecond: number;
  /** CPU usage of the coordinator process, as a fraction of one core. */
  cpuShare: number;
}

interface Pair {
  without: Turn;
  watched: Turn;
}

/** @param args command-line arguments: `--pairs` and `--seconds` */
export async function benchDashboard(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { pairs: { type: 'string', default: '16' }, seconds: { type: 'string', default: '10' } },
  });
  const [pairCount, seconds] = [Number(values.pairs), Number(values.seconds)];
  const folder = await mkdtemp(path.join(tmpdir(), 'lockstep-bench-'));
  const browser = await openChromiumOrReason('the page in a browser');
  const coordinator = await startCoordinator({
    dataset: synthesizeDataset({ trainingImages: 5_000, testImages: 250 }),
    runDir: path.join(folder, 'run'),
    port: 0,
    minWorkers: workerCount,
    steps: 1_000_000,
    // The measurement covers steps only: no validation, few checkpoints and no speculative work.
    validationSplit: 0,
    keepCheckpoints: 1,
    tensorboard: false,
    stragglerFactor: 0,
  });
  const cli = fileURLToPath(new URL('../../cli.js', import.meta.url));
  const workers = Array.from({ length: workerCount }, () =>
    spawn(process.execPath, [cli, 'worker', coordinator.url, '--engine', 'wasm', '--no-cache', '--quiet']),
  );
  const reader = fork(fileURLToPath(new URL('./feed-reader.js', import.meta.url)));
  const kinds: Record<string, OpenPage> = {
    'none (noise)': () => Promise.resolve(() => Promise.resolve()),
    socket: async () => {
      reader.send(`${coordinator.url}/watch`);
      await once(reader, 'message');
      return async () => {
        reader.send(noUrl);
        await once(reader, 'message');
      };
    },
  };
  if (typeof browser !== 'string') {
    kinds['browser page'] = async () => {
      const page = await browser.newPage();
      await page.goto(coordinator.dashboardUrl!);
      await page.getByRole('table', { name: 'Connected and lost workers' }).waitFor();
      return () => page.close();
    };
  }
  process.stdout.write(
    `ResNet-20, ${workerCount} wasm workers, ${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown'}, ` +
      `Node.js ${process.versions.node}; ${pairCount} pairs of turns of ${seconds} s each, in one run: ` +
      `more than ${Math.ceil((Object.keys(kinds).length * pairCount * 2 * seconds) / 60)} min\n`,
  );
  const measured = new Map<string, Pair[]>(Object.keys(kinds).map((kind) => [kind, []]));
  try {
    await turn(coordinator, 2 * seconds);
    for (let count = 0; count < pairCount; count++) {
      for (const [kind, open] of Object.entries(kinds)) {
        measured.get(kind)!.push(await pairOf(coordinator, open, { seconds, watchedFirst: count % 2 === 1 }));
      }
    }
  } finally {
    coordinator.stop();
    await Promise.allSettled([coordinator.report]);
    for (const worker of workers) worker.kill();
    reader.kill();
    if (typeof browser !== 'string') await browser.close();
    await rm(folder, { recursive: true });
  }
  print(measured);
}

async function pairOf(
  coordinator: Coordinator,
  open: OpenPage,
  { seconds, watchedFirst }: { seconds: number; watchedFirst: boolean },
): Promise<Pair> {
  const before = watchedFirst ? undefined : await turn(coordinator, seconds);
  const close = await open();
  const watched = await turn(coordinator, seconds);
  await close();
  return { without: before ?? (await turn(coordinator, seconds)), watched };
}

/** Measures whole steps for at least the given number of seconds, starting at the end of the current step. */
async function turn({ events }: Coordinator, seconds: number): Promise<Turn> {
  let startedMs: number | undefined;
  let cpuBefore = process.cpuUsage();
  let images = 0;
  return new Promise<Turn>((resolve) => {
    const onStep = ({ imagesPerSecond, phases }: { imagesPerSecond: number; phases: { step: number } }) => {
      if (startedMs === undefined) {
        startedMs = performance.now();
        cpuBefore = process.cpuUsage();
        return;
      }
      images += (imagesPerSecond * phases.step) / 1000;
      const elapsed = (performance.now() - startedMs) / 1000;
      if (elapsed < seconds) return;
      events.off('step', onStep);
      const { user, system } = process.cpuUsage(cpuBefore);
      resolve({ imagesPerSecond: images / elapsed, cpuShare: (user + system) / 1e6 / elapsed });
    };
    events.on('step', onStep);
  });
}

function print(measured: ReadonlyMap<string, readonly Pair[]>): void {
  const head = ['page', 'images/s', 'ratio to none: median', 'quartiles', '95% interval of the median'];
  const rows = [...measured].map(([kind, pairs]) => {
    const ratios = summaryOf(pairs.map(({ without, watched }) => watched.imagesPerSecond / without.imagesPerSecond));
    const cpu = summaryOf(pairs.map(({ without, watched }) => watched.cpuShare - without.cpuShare));
    const rate = summaryOf(pairs.map(({ watched }) => watched.imagesPerSecond)).median;
    return [
      kind,
      rate.toFixed(1),
      ratios.median.toFixed(4),
      range(ratios.quartiles, 4),
      range(ratios.interval, 4),
      `${(100 * cpu.median).toFixed(2)} (${range([100 * cpu.quartiles[0], 100 * cpu.quartiles[1]], 2)})`,
    ];
  });
  const table = [[...head, 'added coordinator CPU, % of a core (quartiles)'], ...rows];
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  for (const row of table) {
    process.stdout.write(`${row.map((cell, column) => cell.padEnd(widths[column])).join('  ')}\n`);
  }
}

function range(bounds: readonly [number, number] | null, digits: number): string {
  return bounds === null ? 'too few pairs' : bounds.map((bound) => bound.toFixed(digits)).join('–');
}
