// Benchmarks the coordinator at scale: simulated workers, connected directly or behind relays, train for a few steps. The
// coordinator, the relays and the protocol are real; the workers' engine answers at once. All cases of an encoding must end
// with the same weights.
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { encodings, type Encoding } from '../../../shared/encoding/encodings.js';
import { medianOf } from '../../../shared/median.js';
import { processorName } from '../../../shared/processor.js';
import { measureRun, type ScaleCase, type ScaleResult } from './measure-run.js';

const usage = `usage: npm run bench -- scale [options]

Trains with simulated workers and prints what each step costs the coordinator.

  --workers LIST     numbers of workers (default: 10,32,100,1000)
  --relays LIST      numbers of relays; 0 connects the workers to the coordinator (default: 0,8,32)
  --encodings LIST   encodings of weights and gradients (default: float32,int8)
  --slices N         slices per step (default: 1024)
  --steps N          steps to measure, after 10 others (default: 20)
  --rounds N         runs of each case, of which the table shows medians (default: 1)
  --json             print a line of JSON per run instead of a table
`;

const header =
  'encoding  workers  relays  step ms  CPU ms  peak MB  MB out/step  MB in/step  blocked ms  relay CPU ms  relay MB  lost  late';

export async function benchScale(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      workers: { type: 'string', default: '10,32,100,1000' },
      relays: { type: 'string', default: '0,8,32' },
      encodings: { type: 'string', default: encodings.join(',') },
      slices: { type: 'string', default: '1024' },
      steps: { type: 'string', default: '20' },
      rounds: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(usage);
  const [slices, steps, rounds] = [values.slices, values.steps, values.rounds].map(Number);
  const cases = values.encodings.split(',').flatMap((encoding) =>
    numbersIn(values.workers).flatMap((workers) =>
      numbersIn(values.relays)
        // A relay without workers would not be part of the run.
        .filter((relays) => relays <= workers)
        .map((relays): ScaleCase => ({ encoding: encoding as Encoding, workers, relays, slices, steps })),
    ),
  );
  if (!values.json) {
    process.stdout.write(
      `${slices} slices, ${steps} steps; ${cpus().length} cores, ${processorName()}, Node.js ${process.versions.node}; ` +
        `medians of ${rounds} runs each\n`,
    );
  }
  const results = await runInTurns(cases, rounds, (measured, result) => {
    if (values.json) process.stdout.write(`${JSON.stringify({ ...measured, ...result })}\n`);
  });
  assertSameWeights(results);
  if (values.json) return;
  process.stdout.write(`${header}\n`);
  for (const [measured, runs] of results) process.stdout.write(`${rowOf(measured, runs)}\n`);
}

type Results = ReadonlyMap<ScaleCase, ScaleResult[]>;

/** Runs every case once per round, so that a busy machine affects all cases. */
async function runInTurns(
  cases: readonly ScaleCase[],
  rounds: number,
  onResult: (measured: ScaleCase, result: ScaleResult) => void,
): Promise<Results> {
  const results = new Map<ScaleCase, ScaleResult[]>(cases.map((each) => [each, []]));
  for (let round = 0; round < rounds; round++) {
    for (const each of cases) {
      const result = await measureRun(each);
      results.get(each)!.push(result);
      onResult(each, result);
    }
  }
  return results;
}

function assertSameWeights(results: Results): void {
  for (const encoding of encodings) {
    const hashes = [...results].flatMap(([each, runs]) =>
      each.encoding === encoding ? runs.map(({ weightsSha256 }) => weightsSha256) : [],
    );
    if (new Set(hashes).size > 1) throw new Error(`runs with ${encoding} ended with different weights`);
  }
}

function rowOf({ encoding, workers, relays }: ScaleCase, runs: readonly ScaleResult[]): string {
  const median = (key: keyof ScaleResult) => medianOf(runs.map((run) => Number(run[key])));
  return [
    encoding.padEnd(8),
    String(workers).padStart(7),
    String(relays).padStart(6),
    median('stepMs').toFixed(0).padStart(7),
    median('cpuMs').toFixed(0).padStart(6),
    (median('peakBytes') / 1e6).toFixed(0).padStart(7),
    (median('bytesSent') / 1e6).toFixed(1).padStart(11),
    (median('bytesReceived') / 1e6).toFixed(1).padStart(10),
    median('blockedMs').toFixed(0).padStart(10),
    (relays === 0 ? '' : median('relayCpuMs').toFixed(0)).padStart(12),
    (relays === 0 ? '' : (median('relayPeakBytes') / 1e6).toFixed(0)).padStart(8),
    median('workersLost').toFixed(0).padStart(4),
    median('stragglers').toFixed(0).padStart(4),
  ].join('  ');
}

function numbersIn(list: string): number[] {
  return list.split(',').map(Number);
}
