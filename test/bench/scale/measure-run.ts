// Starts the processes of one run at scale, and collects what they measured.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Encoding } from '../../../shared/encoding/encodings.js';
import { endAll } from '../exchange-processes.js';

export interface ScaleCase {
  encoding: Encoding;
  workers: number;
  /** Number of relays; 0 if the workers connect to the coordinator. */
  relays: number;
  slices: number;
  /** Number of steps to measure. */
  steps: number;
}

/** What the coordinator measures. */
export interface CoordinatorResult {
  /** Median time from the end of one step to the end of the next, in milliseconds. */
  stepMs: number;
  /** The coordinator's CPU time per step in milliseconds. */
  cpuMs: number;
  /** The coordinator's largest resident set. */
  peakBytes: number;
  /** Bytes per step to and from all connections of the coordinator. */
  bytesSent: number;
  bytesReceived: number;
  /** Time until all workers have joined, in milliseconds. */
  joinMs: number;
  /** Longest time for which the coordinator handled no event, in milliseconds. */
  blockedMs: number;
  stragglers: number;
  workersLost: number;
  slicesReassigned: number;
  weightsSha256: string;
}

/** What a relay measures. */
export interface RelayResult {
  /** CPU time from the first step to the last, in milliseconds. */
  cpuMs: number;
  peakBytes: number;
}

export interface ScaleResult extends CoordinatorResult {
  /** CPU time per step of all relays together, in milliseconds. */
  relayCpuMs: number;
  /** The largest resident set of a relay. */
  relayPeakBytes: number;
}

/** Steps before the measured ones: they move shards, and Node.js compiles what runs often. */
export const warmUpSteps = 10;
const maxWorkersPerProcess = 125;

/** Trains with simulated workers. Throws if a process fails. */
export async function measureRun(measured: ScaleCase): Promise<ScaleResult> {
  const children: ChildProcess[] = [];
  const start = (program: string, ...args: string[]) => {
    const child = fork(fileURLToPath(new URL(`${program}.js`, import.meta.url)), args);
    children.push(child);
    return child;
  };
  try {
    const coordinator = start('coordinator-process', JSON.stringify(measured));
    const url = await messageOf<string>(coordinator);
    const relays = Array.from({ length: measured.relays }, () => start('relay-process', url));
    const relayUrls = await Promise.all(relays.map((relay) => messageOf<string>(relay)));
    const relayResults = relays.map((relay) => messageOf<RelayResult>(relay));
    const urls = relays.length === 0 ? [url] : relayUrls;
    const workerUrls = Array.from({ length: measured.workers }, (_, index) => urls[index % urls.length]);
    const coordinatorResult = messageOf<CoordinatorResult>(coordinator);
    for (let first = 0; first < workerUrls.length; first += maxWorkersPerProcess) {
      start('workers-process', ...workerUrls.slice(first, first + maxWorkersPerProcess));
    }
    const result = await coordinatorResult;
    for (const relay of relays) relay.send('end');
    return withRelays(result, await Promise.all(relayResults), measured.steps);
  } finally {
    await endAll(children.filter((child) => child.exitCode === null && child.signalCode === null));
  }
}

function withRelays(result: CoordinatorResult, relays: readonly RelayResult[], steps: number): ScaleResult {
  return {
    ...result,
    relayCpuMs: relays.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / (steps + warmUpSteps),
    relayPeakBytes: Math.max(0, ...relays.map(({ peakBytes }) => peakBytes)),
  };
}

/** Returns the next message of a child process. Rejects if it ends before. */
async function messageOf<Message>(child: ChildProcess): Promise<Message> {
  const exit = once(child, 'exit').then(([code]) => {
    throw new Error(`a process of the benchmark ended with status ${code}`);
  });
  const [message] = (await Promise.race([once(child, 'message'), exit])) as [Message];
  return message;
}
