// Benchmarks the exchange alone: the coordinator sends weights, receives gradients and adds up partial sums, without
// computation or weight updates. Turns alternate with plain TCP in Node.js, which transfers and adds the same bytes. Every
// worker is a separate process.
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { setV8Flags } from '../../cli/process/v8-flags.js';
import { resolveConfig, type Config } from '../../shared/config/config.js';
import { cifar10Format } from '../../shared/dataset/cifar10-layout.js';
import { graphOf } from '../../shared/config/network-config.js';
import { layoutNetwork } from '../../shared/network/layout.js';
import { processorName } from '../../shared/processor.js';
import { startLockstep } from './exchange-lockstep.js';
import { startPlain } from './exchange-plain.js';
import type { Exchange } from './exchange-processes.js';
import { summaryOf } from './paired.js';

/** A turn has enough steps to send this many bytes of weights to each worker. */
const turnBytes = 200e6;
const minSteps = 10;
/** V8 still compiles what runs once per step for some thousand steps, which would take too long with large weights. */
const warmUpTurns = 3;

/** @param args command-line arguments: `--workers`, `--filters` and `--turns` */
export async function benchExchange(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      workers: { type: 'string', default: '1,2,4,8' },
      // Initial filters of the ResNet-20s to measure: 1.1 MB and 24 MB of weights.
      filters: { type: 'string', default: '16,76' },
      turns: { type: 'string', default: '9' },
    },
  });
  const turns = Number(values.turns);
  // As in the processes of the command line.
  setV8Flags();
  process.stdout.write(
    `exchange of weights and gradients; ${cpus().length} cores, ${processorName()}, Node.js ${process.versions.node}; ` +
      `medians of ${turns} turns each\n` +
      ' MB  workers  plain TCP ms  Lockstep ms  Lockstep/TCP rate  quartiles     Lockstep GB/s\n',
  );
  for (const initialFilters of numbersIn(values.filters)) {
    for (const workers of numbersIn(values.workers)) {
      const config = resolveConfig({ convBias: false, initialFilters, slices: workers, batchSize: workers });
      process.stdout.write(`${await measure(config, workers, turns)}\n`);
    }
  }
}

async function measure(config: Config, workers: number, turns: number): Promise<string> {
  const { weightsSize, statisticsSize } = layoutNetwork(graphOf(config), cifar10Format);
  const bytes = (weightsSize + statisticsSize) * Float32Array.BYTES_PER_ELEMENT;
  const steps = Math.max(minSteps, Math.round(turnBytes / bytes));
  const plain = await startPlain(bytes, workers);
  const lockstep = await startLockstep(config, workers);
  const times: { plainMs: number; lockstepMs: number }[] = [];
  for (let turn = -warmUpTurns; turn < turns; turn++) {
    const time = { plainMs: await stepMs(plain, steps), lockstepMs: await stepMs(lockstep, steps) };
    if (turn >= 0) times.push(time);
  }
  await plain.close();
  await lockstep.close();
  const ratios = summaryOf(times.map(({ plainMs, lockstepMs }) => plainMs / lockstepMs));
  const lockstepMs = summaryOf(times.map((turn) => turn.lockstepMs)).median;
  return [
    (bytes / 1e6).toFixed(0).padStart(3),
    String(workers).padStart(7),
    summaryOf(times.map((turn) => turn.plainMs))
      .median.toFixed(2)
      .padStart(12),
    lockstepMs.toFixed(2).padStart(11),
    ratios.median.toFixed(3).padStart(17),
    ratios.quartiles
      .map((quartile) => quartile.toFixed(2))
      .join(' to ')
      .padEnd(12),
    ((2 * workers * bytes) / lockstepMs / 1e6).toFixed(2).padStart(13),
  ].join('  ');
}

async function stepMs(exchange: Exchange, steps: number): Promise<number> {
  const started = performance.now();
  for (let step = 0; step < steps; step++) await exchange.step();
  return (performance.now() - started) / steps;
}

function numbersIn(list: string): number[] {
  return list.split(',').map(Number);
}
