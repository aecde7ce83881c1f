// What the dashboard costs a run: images/s and the coordinator's own CPU time while somebody watches, beside a turn without
// anybody right before or after it, within one run. A socket in another process that reads all is what the coordinator
// pays; a page in a browser on this machine also shares the cores with the workers. Nobody against nobody is the noise.
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
/** What the reader is told to stop reading. */
const nowhere = '';

/** Begins to watch. @returns what ends it */
type Watching = () => Promise<() => Promise<void>>;

interface Turn {
  imagesPerSecond: number;
  /** The coordinator's own, of all its threads, as a part of one core. */
  cpuPart: number;
}

interface Pair {
  nobody: Turn;
  watched: Turn;
}

/** @param args `--pairs` and `--seconds` */
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
    // Nothing but steps: no validation, no checkpoint that anybody would wait for, and nobody who is given other slices.
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
  const kinds: Record<string, Watching> = {
    'nobody (the noise)': () => Promise.resolve(() => Promise.resolve()),
    'a socket that reads all': async () => {
      reader.send(`${coordinator.url}/watch`);
      await once(reader, 'message');
      return async () => {
        reader.send(nowhere);
        await once(reader, 'message');
      };
    },
  };
  if (typeof browser !== 'string') {
    kinds['a page in a browser here'] = async () => {
      const page = await browser.newPage();
      await page.goto(coordinator.dashboardUrl!);
      await page.getByRole('table', { name: /Workers/ }).waitFor();
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
      for (const [kind, watch] of Object.entries(kinds)) {
        measured.get(kind)!.push(await pairOf(coordinator, watch, { seconds, watchedFirst: count % 2 === 1 }));
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
  watch: Watching,
  { seconds, watchedFirst }: { seconds: number; watchedFirst: boolean },
): Promise<Pair> {
  const before = watchedFirst ? undefined : await turn(coordinator, seconds);
  const leave = await watch();
  const watched = await turn(coordinator, seconds);
  await leave();
  return { nobody: before ?? (await turn(coordinator, seconds)), watched };
}

/** Whole steps for at least so long, from the end of the running one on. */
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
      resolve({ imagesPerSecond: images / elapsed, cpuPart: (user + system) / 1e6 / elapsed });
    };
    events.on('step', onStep);
  });
}

function print(measured: ReadonlyMap<string, readonly Pair[]>): void {
  const head = ['who watches', 'images/s', 'rate / nobody’s: median', 'quartiles', '95% of the median'];
  const rows = [...measured].map(([kind, pairs]) => {
    const ratios = summaryOf(pairs.map(({ nobody, watched }) => watched.imagesPerSecond / nobody.imagesPerSecond));
    const cpu = summaryOf(pairs.map(({ nobody, watched }) => watched.cpuPart - nobody.cpuPart));
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
  const table = [[...head, 'more CPU of the coordinator, % of a core (quartiles)'], ...rows];
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  for (const row of table) {
    process.stdout.write(`${row.map((cell, column) => cell.padEnd(widths[column])).join('  ')}\n`);
  }
}

function range(bounds: readonly [number, number] | null, digits: number): string {
  return bounds === null ? 'too few pairs' : bounds.map((bound) => bound.toFixed(digits)).join('–');
}
