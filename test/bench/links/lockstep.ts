// Measures a coordinator on the hub with two workers at the ends of the slow links.
import { on } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { z } from 'zod';
import { startCli, type CliProcess } from '../../support/cli.js';
import { freePort } from '../../support/free-port.js';
import { trafficOf, type Host, type Hosts, type Traffic } from './hosts.js';
import type { Measurement } from './measurement.js';

/** Number of images per epoch: as many as 64 steps take. No worker needs to receive more than half of them. */
export const trainingImages = 8192;
const batchSize = 128;
/** Steps and rounds to skip: the first round travels in float32 in any encoding, and engines compile their code. */
const warmUp = { steps: 8, rounds: 2 };
const minRounds = 3;

export interface LockstepRun {
  /** Options of the coordinator. */
  options: readonly string[];
  engine: string;
  seconds: number;
  /** Folder with a dataset, and one for run directories. */
  data: string;
  runs: string;
}

/** A line of the coordinator's output: the last step of a round. */
const stepLine = z.object({ type: z.literal('step'), step: z.number(), time: z.coerce.date() });

interface Moment {
  step: number;
  ms: number;
  traffic: Traffic;
}

export async function measureLockstep({ hub, pair }: Hosts, run: LockstepRun): Promise<Measurement> {
  const environment = { LOCKSTEP_TOKEN: 'for this measurement' };
  const port = await freePort();
  const started: CliProcess[] = [];
  const start = (...args: Parameters<typeof startCli>) => {
    const process_ = startCli(...args);
    started.push(process_);
    return process_;
  };
  try {
    const runDir = await mkdtemp(path.join(run.runs, 'run-'));
    const address = ['--host', hub.address, '--port', String(port), '--min-workers', '2'];
    const files = ['--data', run.data, '--run-dir', runDir, '--no-tensorboard'];
    // Without replicas, the links carry no shards during the measurement. Without a validation split, every step trains.
    const others = ['--json', '--replicas', '1', '--validation-split', '0', '--batch-size', String(batchSize)];
    const args = ['coordinator', ...address, ...files, ...others, ...run.options];
    const coordinator = start(args, environment, hub.prefix);
    await coordinator.says('"type":"start"');
    const url = `ws://${hub.address}:${port}`;
    for (const { prefix } of pair) {
      start(['worker', url, '--engine', run.engine, '--threads', '1', '--no-cache', '--quiet'], environment, prefix);
    }
    return await measureRounds(coordinator, run.seconds, pair[0]);
  } finally {
    for (const { child } of started) child.kill('SIGKILL');
    await Promise.all(started.map(({ exited }) => exited));
  }
}

/** Yields each round when the coordinator prints it, until the coordinator exits. */
async function* roundsOf(stdout: Readable): AsyncGenerator<{ step: number; ms: number }> {
  let text = '';
  for await (const [chunk] of on(stdout, 'data', { close: ['end'] }) as AsyncIterable<[string]>) {
    const lines = (text + chunk).split('\n');
    text = lines.pop()!;
    for (const line of lines) {
      const parsed = stepLine.safeParse(JSON.parse(line));
      if (parsed.success) yield { step: parsed.data.step, ms: parsed.data.time.getTime() };
    }
  }
}

async function measureRounds(coordinator: CliProcess, seconds: number, worker: Host): Promise<Measurement> {
  let start: Moment | undefined;
  let count = 0;
  for await (const { step, ms } of roundsOf(coordinator.child.stdout!)) {
    count++;
    if (start === undefined) {
      if (step < warmUp.steps || count < warmUp.rounds) continue;
      start = { step, ms, traffic: trafficOf(worker) };
      count = 0;
    } else if (count >= minRounds && ms - start.ms >= 1000 * seconds) {
      const steps = step - start.step;
      const { sent, received } = trafficOf(worker);
      const isLoopback = worker.device === 'lo';
      return {
        imagesPerSecond: (1000 * batchSize * steps) / (ms - start.ms),
        sentPerStep: isLoopback ? null : (sent - start.traffic.sent) / steps,
        receivedPerStep: isLoopback ? null : (received - start.traffic.received) / steps,
        steps,
      };
    }
  }
  throw new Error(`the coordinator exited:\n${coordinator.output()}`);
}
