// One machine: a coordinator and its worker processes, over real WebSockets on loopback. The library's train.
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { startCoordinator, type Coordinator, type CoordinatorOptions } from './coordinator/main.js';
import type { Report } from './coordinator/report.js';
import { resolveConfig } from './shared/config.js';
import { LockstepError, type ErrorCode } from './shared/errors.js';
import type { EngineName } from './worker/engines/open.js';

/** Worker processes that do not end by themselves after the goodbye are ended. */
const exitTimeoutMs = 5_000;
const keptOutputLines = 20;

export interface TrainOptions extends Omit<CoordinatorOptions, 'host' | 'token' | 'minWorkers'> {
  /** Worker processes; as many as there are cores, at most one a slice, unless said. */
  workers?: number | undefined;
  /** What they compute with; `auto` unless said. */
  engine?: EngineName | undefined;
  /** Threads of each worker; 1 unless said. */
  threads?: number | undefined;
}

/** What happens to the worker processes, beside what the coordinator tells. */
export interface ProcessEvents {
  /** A worker process ended before the run did. None is started again. `why` is its own last words, if it had any. */
  workerExited: [{ name: string; how: string; why: string }];
}

export interface Training extends Coordinator {
  readonly processes: EventEmitter<ProcessEvents>;
  /** Ends the worker processes at once; the report rejects. */
  kill(): void;
}

/** What a worker process says over its IPC channel when it cannot go on. */
const processFailure = z.object({ code: z.string(), message: z.string() });

interface WorkerProcess {
  name: string;
  child: ChildProcess;
  exited: Promise<unknown>;
  output: string[];
  failure: z.infer<typeof processFailure> | undefined;
}

export function defaultWorkerCount(slices: number): number {
  return Math.min(slices, availableParallelism());
}

/**
 * Trains on this machine alone. Resolves when the workers have been started; `report` tells how it ended.
 * Throws as startCoordinator does.
 */
export async function train(options: TrainOptions): Promise<Training> {
  const { workers, engine = 'auto', threads = 1, port = 0, ...coordinatorOptions } = options;
  const token = randomBytes(16).toString('hex');
  const { dataset: _dataset, clock: _clock, silenceTimeoutMs: _silence, ...input } = coordinatorOptions;
  const count = workers ?? defaultWorkerCount(resolveConfig(input).slices);
  if (!Number.isInteger(count) || count < 1) {
    throw new LockstepError('bad-option', `workers is ${String(workers)}: it must be a whole number of at least 1`);
  }
  const coordinator = await startCoordinator({ ...coordinatorOptions, port, token, minWorkers: count });
  const processes = new EventEmitter<ProcessEvents>();
  const started = Array.from({ length: count }, (_, index) =>
    startWorkerProcess(
      `worker-${index + 1}`,
      [coordinator.url, '--engine', engine, '--threads', String(threads)],
      token,
    ),
  );
  let running = started.length;
  let runEnded = false;
  async function watch(worker: WorkerProcess): Promise<void> {
    await worker.exited;
    running--;
    if (runEnded) return;
    const why = worker.failure?.message ?? worker.output.join('\n');
    processes.emit('workerExited', { name: worker.name, how: howItEnded(worker), why: firstLineOf(why) });
    if (running === 0) coordinator.stop(whyNobodyIsLeft(started));
  }
  for (const worker of started) void watch(worker);

  async function endWorkers(): Promise<Report> {
    try {
      return await coordinator.report;
    } finally {
      runEnded = true;
      const timer = setTimeout(() => {
        for (const { child } of started) child.kill('SIGKILL');
      }, exitTimeoutMs);
      await Promise.all(started.map((worker) => worker.exited));
      clearTimeout(timer);
    }
  }
  const report = endWorkers();
  // Whoever holds `report` sees its rejection; without a holder it must not end the process.
  report.catch(() => undefined);
  return {
    ...coordinator,
    processes,
    report,
    kill: () => {
      for (const { child } of started) child.kill('SIGKILL');
    },
  };
}

/** Without a cache on disk: over loopback a shard comes faster than from there. */
function startWorkerProcess(name: string, args: readonly string[], token: string): WorkerProcess {
  const cli = fileURLToPath(new URL('./cli.js', import.meta.url));
  const child = spawn(
    process.execPath,
    [...process.execArgv, cli, 'worker', ...args, '--name', name, '--no-cache', '--quiet'],
    {
      env: { ...process.env, LOCKSTEP_TOKEN: token },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // A group of its own: Ctrl-C in the terminal reaches this process alone, which lets the running step end first.
      // Should this process die, the workers see their IPC channel close and end.
      detached: true,
    },
  );
  const worker: WorkerProcess = { name, child, exited: once(child, 'close'), output: [], failure: undefined };
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    worker.output = [...worker.output, ...text.split('\n').filter((line) => line !== '')].slice(-keptOutputLines);
  });
  child.on('message', (message) => {
    worker.failure = processFailure.safeParse(message).data ?? worker.failure;
  });
  return worker;
}

function howItEnded({ child }: WorkerProcess): string {
  return child.signalCode === null ? `exit status ${child.exitCode}` : `signal ${child.signalCode}`;
}

function firstLineOf(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}

/** The workers' own reason where they agree on one; else how each of them ended. */
function whyNobodyIsLeft(workers: readonly WorkerProcess[]): LockstepError {
  const [first] = workers;
  const shared = first?.failure;
  if (shared !== undefined && workers.every((worker) => worker.failure?.code === shared.code)) {
    return new LockstepError(shared.code as ErrorCode, shared.message);
  }
  const ends = workers.map((worker) => `${worker.name}: ${worker.failure?.message ?? howItEnded(worker)}`);
  return new LockstepError('workers-failed', `every worker process has ended: ${ends.join('; ')}`);
}
