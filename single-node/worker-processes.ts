// Worker processes on this machine, started by `train` and by `worker`: how many and for which device, and how they end.
import { spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { systemClock } from '../shared/clock.js';
import { LockstepError, type ErrorCode } from '../shared/errors.js';
import { canComputeOnGpus, startEnvironment, type EngineName } from '../worker/engines/registry.js';
import { engineArguments, type EngineChoice } from '../worker/worker-arguments.js';
import { chooseGpus, defaultGpus, environmentForGpu, listGpus } from '../worker/gpus.js';
import { superviseWorker } from './worker-supervisor.js';

const keptErrorLines = 20;
/** Worker processes that do not end by themselves after the goodbye are ended. */
const exitTimeoutMs = 5_000;

/** What one worker process is to be. */
export interface WorkerPlan {
  name: string;
  /** What chooses its device, and what its engine reads when a process starts; added to this process's own environment. */
  environment: Readonly<Record<string, string>>;
}

/** What a worker process says over its IPC channel when it cannot go on. */
const processFailure = z.object({ code: z.string(), message: z.string() });

export interface WorkerProcess {
  name: string;
  child: ChildProcess;
  exited: Promise<unknown>;
  /** The last lines it wrote as errors. */
  errorLines: string[];
  failure: z.infer<typeof processFailure> | undefined;
}

export interface WorkersAsked {
  engine: EngineName;
  /** As on the command line: `all`, or `0,2`. */
  gpus?: string | undefined;
  /** Worker processes on the CPU. */
  workers?: number | undefined;
  /** How many there are on the CPU if neither was asked for. */
  defaultWorkers: number;
  /** What the names begin with. */
  namePrefix?: string | undefined;
}

/**
 * A worker a GPU where TensorFlow is installed for them, or as many as asked for on the CPU.
 * Throws `bad-option` for GPUs that are not there, a number of workers that is none, or both at once.
 */
export async function planWorkers(asked: WorkersAsked): Promise<WorkerPlan[]> {
  const { engine, gpus, workers, defaultWorkers, namePrefix = '' } = asked;
  if (gpus !== undefined && workers !== undefined) {
    throw new LockstepError(
      'bad-option',
      `gpus is ${gpus} and workers is ${workers}: give one, as every GPU has one worker`,
    );
  }
  let chosen: number[] = [];
  if (gpus !== undefined) chosen = chooseGpus(gpus, listGpus());
  else if (workers === undefined) chosen = defaultGpus(await canComputeOnGpus(engine), process.env);
  const common = await startEnvironment(engine);
  if (chosen.length > 0) {
    const environmentOf = (gpu: number) => ({ ...common, ...environmentForGpu(gpu) });
    return chosen.map((gpu) => ({ name: `${namePrefix}gpu-${gpu}`, environment: environmentOf(gpu) }));
  }
  const count = workers ?? defaultWorkers;
  if (!Number.isInteger(count) || count < 1) {
    throw new LockstepError('bad-option', `workers is ${String(workers)}: it must be a whole number of at least 1`);
  }
  return Array.from({ length: count }, (_, index) => ({
    name: `${namePrefix}worker-${index + 1}`,
    environment: common,
  }));
}

export interface StartOptions {
  /** What follows `lockstep worker`, the name excepted. */
  args: readonly string[];
  environment?: Readonly<Record<string, string>>;
  /** Where its output goes: nowhere, where this process's goes, or line by line to a function. */
  output: 'ignore' | 'inherit' | ((line: string) => void);
}

/** Starts a worker in a process of its own, which ends when this one does. */
export function startWorkerProcess(plan: WorkerPlan, { args, environment, output }: StartOptions): WorkerProcess {
  const cli = fileURLToPath(new URL('../cli.js', import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, cli, 'worker', ...args, '--name', plan.name], {
    env: { ...process.env, ...environment, ...plan.environment },
    stdio: ['ignore', typeof output === 'function' ? 'pipe' : output, 'pipe', 'ipc'],
    // A group of its own: Ctrl-C in the terminal reaches this process alone, which lets the running step end first.
    // Should this process die, the workers see their IPC channel close and end.
    detached: true,
  });
  const started: WorkerProcess = { ...plan, child, exited: once(child, 'close'), errorLines: [], failure: undefined };
  eachLine(child.stderr!, (line) => {
    started.errorLines = [...started.errorLines, line].slice(-keptErrorLines);
  });
  if (typeof output === 'function') eachLine(child.stdout!, output);
  child.on('message', (message) => {
    started.failure = processFailure.safeParse(message).data ?? started.failure;
  });
  return started;
}

/** What happens to worker processes, beside what the coordinator tells. */
export interface ProcessEvents {
  /**
   * A worker process failed before the run ended. `why` is its own last words, if it had any; `next` says whether another
   * takes its place, empty where none is to.
   */
  workerExited: [{ name: string; how: string; why: string; next: string }];
}

export interface LocalWorkers {
  readonly processes: EventEmitter<ProcessEvents>;
  /** Waits until all have ended by themselves, as they do after the goodbye; ends those that do not. */
  end(): Promise<void>;
  /** Ends all at once. */
  kill: () => void;
}

/**
 * The workers of one run on this machine. One that crashes is started again.
 * @param nobodyIsLeft called when all have ended for good before the run has
 */
export function startLocalWorkers(
  plans: readonly WorkerPlan[],
  { url, token, engine }: { url: string; token: string; engine: EngineChoice },
  nobodyIsLeft: (reason: LockstepError) => void,
): LocalWorkers {
  // Without a cache on disk: over loopback a shard comes faster than from there.
  const args = [url, ...engineArguments(engine), '--no-cache', '--quiet'];
  const processes = new EventEmitter<ProcessEvents>();
  let isOver = false;
  const workers = plans.map((plan) =>
    superviseWorker(
      () => startWorkerProcess(plan, { args, environment: { LOCKSTEP_TOKEN: token }, output: 'ignore' }),
      systemClock,
      (worker, next) => {
        // One that was sent home may be gone before its coordinator is.
        if (worker.child.exitCode === 0) return;
        processes.emit('workerExited', { name: plan.name, how: describeExit(worker), why: exitReason(worker), next });
      },
    ),
  );
  async function watch(): Promise<void> {
    await Promise.all(workers.map(({ ended }) => ended));
    if (!isOver) nobodyIsLeft(noWorkersReason(workers.map(({ process: last }) => last)));
  }
  void watch();
  const kill = () => {
    for (const { process: worker, release } of workers) {
      release();
      worker.child.kill('SIGKILL');
    }
  };
  return {
    processes,
    kill,
    async end() {
      isOver = true;
      for (const { release } of workers) release();
      const timer = setTimeout(kill, exitTimeoutMs);
      await Promise.all(workers.map(({ process: worker }) => worker.exited));
      clearTimeout(timer);
    },
  };
}

function eachLine(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) if (line !== '') onLine(line);
  });
  stream.on('end', () => {
    if (rest !== '') onLine(rest);
  });
}

export function describeExit({ child }: WorkerProcess): string {
  return child.signalCode === null ? `exit status ${child.exitCode}` : `signal ${child.signalCode}`;
}

/** Its own last words, or its errors, in a line; empty if it had none. */
export function exitReason({ failure, errorLines }: WorkerProcess): string {
  return (failure?.message ?? errorLines.join('\n')).split('\n', 1)[0] ?? '';
}

/** In a line for a person. */
export function describeWorkerExit({ name, how, why, next }: ProcessEvents['workerExited'][0]): string {
  return `${name}'s process ended (${how})${why === '' ? '' : `: ${why}`}${next === '' ? '' : `; ${next}`}`;
}

/** The workers' own reason where they agree on one; else how each of them ended. */
export function noWorkersReason(workers: readonly WorkerProcess[]): LockstepError {
  const shared = workers[0]?.failure;
  if (shared !== undefined && workers.every((worker) => worker.failure?.code === shared.code)) {
    // The code of a LockstepError in a process of this same program.
    return new LockstepError(shared.code as ErrorCode, shared.message);
  }
  const ends = workers.map((worker) => `${worker.name}: ${worker.failure?.message ?? describeExit(worker)}`);
  return new LockstepError('workers-failed', `every worker process has ended: ${ends.join('; ')}`);
}
