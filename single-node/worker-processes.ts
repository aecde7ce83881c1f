// Worker processes on this machine: plans how many to start and on which devices, starts them, and explains why they
// exited.
import { spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { systemClock } from '../shared/clock.js';
import { LockstepError, type ErrorCode } from '../shared/errors.js';
import type { EngineName } from '../shared/engine-names.js';
import { canComputeOnGpus, startEnvironment } from '../worker/engines/registry.js';
import { engineArguments, type EngineChoice } from '../worker/worker-arguments.js';
import { adapterVariable } from '../worker/engines/webgpu/platform/dawn.js';
import { chooseAdapters, listAdapters } from '../worker/engines/webgpu/platform/list-adapters.js';
import { chooseGpus, defaultGpus, environmentForGpu, listGpus } from '../worker/gpus.js';
import { maxShardsBytesInMemory } from '../worker/shards/run-shards.js';
import { superviseWorker } from './worker-supervisor.js';

/** Number of stderr lines to keep per process. */
const maxErrorLines = 20;
/** Worker processes that have not exited this long after the end of the run are killed. */
export const exitTimeoutMs = 5_000;

export interface WorkerPlan {
  name: string;
  /**
   * Variables that choose the device, and variables that the engine reads when the process starts. They are added to a
   * copy of the environment of this process.
   */
  environment: Readonly<Record<string, string>>;
}

/** IPC message that a worker process sends when it fails. */
const processFailure = z.object({ code: z.string(), message: z.string() });

export interface WorkerProcess {
  name: string;
  child: ChildProcess;
  exited: Promise<unknown>;
  /** Last lines of the process's stderr. */
  errorLines: string[];
  failure: z.infer<typeof processFailure> | undefined;
}

export interface WorkerRequest {
  engine: EngineName;
  /** GPUs to use, with one worker each: `all`, or indices such as `0,2` of GPUs or, with webgpu, of adapters. */
  gpus?: string | undefined;
  /** Number of worker processes on the CPU. */
  workers?: number | undefined;
  /** Number of worker processes on the CPU if neither `gpus` nor `workers` is given and TensorFlow cannot use GPUs. */
  defaultWorkers: number;
  /** Prefix of the workers' names. */
  namePrefix?: string | undefined;
}

/**
 * Plans one worker per chosen GPU, by default one per GPU if TensorFlow is installed for GPUs, or the requested number of workers. Throws
 * `bad-option` for GPUs that do not exist, an invalid number of workers, or both `gpus` and `workers`.
 */
export async function planWorkers(request: WorkerRequest): Promise<WorkerPlan[]> {
  const { engine, gpus, workers, defaultWorkers, namePrefix = '' } = request;
  if (gpus !== undefined && workers !== undefined) {
    throw new LockstepError(
      'bad-option',
      `\`gpus\` is ${gpus} and \`workers\` is ${workers}: give only one, as each GPU has one worker`,
    );
  }
  const common = await startEnvironment(engine);
  const devices = await devicesFor(request);
  if (devices.length > 0) {
    return devices.map(({ index, environment }) => ({
      name: `${namePrefix}gpu-${index}`,
      environment: { ...common, ...environment },
    }));
  }
  // All workers with WebGPU would share one GPU, which a single worker keeps busy.
  const count = workers ?? (engine === 'webgpu' ? 1 : defaultWorkers);
  if (!Number.isInteger(count) || count < 1) {
    throw new LockstepError('bad-option', `\`workers\` is ${String(workers)}: it must be a whole number of at least 1`);
  }
  return Array.from({ length: count }, (_, index) => ({
    name: `${namePrefix}worker-${index + 1}`,
    environment: common,
  }));
}

/**
 * Returns the GPUs to start a worker for, each with the variables that restrict a process to it. Throws `bad-option` for GPUs
 * that do not exist.
 */
export async function devicesFor({ engine, gpus, workers }: Pick<WorkerRequest, 'engine' | 'gpus' | 'workers'>) {
  if (gpus !== undefined && engine === 'webgpu') {
    const adapters = chooseAdapters(gpus, await listAdapters());
    return adapters.map(({ index, name }) => ({ index, environment: { [adapterVariable]: name } }));
  }
  let chosen: number[] = [];
  if (gpus !== undefined) chosen = chooseGpus(gpus, listGpus());
  else if (workers === undefined) chosen = defaultGpus(await canComputeOnGpus(engine), process.env);
  return chosen.map((index) => ({ index, environment: environmentForGpu(index) }));
}

export interface StartOptions {
  /** Command-line arguments of `lockstep worker`, except for the name. */
  args: readonly string[];
  environment?: Readonly<Record<string, string>>;
  /**
   * Destination of the worker's stdout: discarded, inherited from this process, or passed to a function line by line.
   */
  output: 'ignore' | 'inherit' | ((line: string) => void);
}

/** Starts a worker process, which exits when this process does. */
export function startWorkerProcess(plan: WorkerPlan, { args, environment, output }: StartOptions): WorkerProcess {
  const cli = fileURLToPath(new URL('../cli.js', import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, cli, 'worker', ...args, '--name', plan.name], {
    env: { ...process.env, ...environment, ...plan.environment },
    stdio: ['ignore', typeof output === 'function' ? 'pipe' : output, 'pipe', 'ipc'],
    // In a separate process group, so that Ctrl-C reaches only this process, which finishes the current step first. If
    // this process dies, the IPC channel closes and the worker exits.
    detached: true,
  });
  const started: WorkerProcess = { ...plan, child, exited: once(child, 'close'), errorLines: [], failure: undefined };
  eachLine(child.stderr!, (line) => {
    started.errorLines = [...started.errorLines, line].slice(-maxErrorLines);
  });
  if (typeof output === 'function') eachLine(child.stdout!, output);
  child.on('message', (message) => {
    started.failure = processFailure.safeParse(message).data ?? started.failure;
  });
  return started;
}

export interface ProcessEvents {
  /**
   * Emitted when a worker process has failed before the end of the run. `how` is the exit status or signal, `why` the
   * first line of the error, and `next` what happens next, such as a restart. `why` and `next` may be empty.
   */
  workerExited: [{ name: string; how: string; why: string; next: string }];
}

export interface LocalWorkers<Report> {
  readonly processes: EventEmitter<ProcessEvents>;
  /** Settles like the report of the run, but only after all worker processes have exited. */
  readonly report: Promise<Report>;
  /** Kills all workers. */
  kill(): void;
}

/** Starts the workers of a run or evaluation on this machine, and restarts those that crash before it has ended. */
export function startLocalWorkers<Report>(
  run: { url: string; shardsBytes: number; report: Promise<Report>; stop(reason: LockstepError): void },
  token: string,
  plans: readonly WorkerPlan[],
  engine: EngineChoice,
): LocalWorkers<Report> {
  // No shard cache on disk if the workers can hold all shards in memory: over loopback, shards arrive faster than from
  // disk.
  const cache = run.shardsBytes <= maxShardsBytesInMemory ? ['--no-cache'] : [];
  const args = [run.url, ...engineArguments(engine), ...cache, '--quiet'];
  const processes = new EventEmitter<ProcessEvents>();
  let hasEnded = false;
  const workers = plans.map((plan) =>
    superviseWorker(
      () => startWorkerProcess(plan, { args, environment: { LOCKSTEP_TOKEN: token }, output: 'ignore' }),
      systemClock,
      (worker, next) => {
        // At the end of the run, workers exit with status 0, which may be before the report is complete.
        if (worker.child.exitCode === 0) return;
        processes.emit('workerExited', { name: plan.name, how: describeExit(worker), why: exitReason(worker), next });
      },
    ),
  );
  async function stopWithoutWorkers(): Promise<void> {
    await Promise.all(workers.map(({ ended }) => ended));
    if (!hasEnded) run.stop(noWorkersReason(workers.map(({ process: last }) => last)));
  }
  void stopWithoutWorkers();
  function kill(): void {
    for (const { process: worker, release } of workers) {
      release();
      worker.child.kill('SIGKILL');
    }
  }
  async function reportAndEnd(): Promise<Report> {
    try {
      return await run.report;
    } finally {
      hasEnded = true;
      for (const { release } of workers) release();
      const timer = setTimeout(kill, exitTimeoutMs);
      await Promise.all(workers.map(({ process: worker }) => worker.exited));
      clearTimeout(timer);
    }
  }
  const report = reportAndEnd();
  // If the caller ignores the report, a rejection must not end the process.
  report.catch(() => undefined);
  return { processes, report, kill };
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

export function describeExit({ child }: Pick<WorkerProcess, 'child'>): string {
  return child.signalCode === null ? `exit status ${child.exitCode}` : `signal ${child.signalCode}`;
}

/** Returns the first line of the process's error, or an empty string if there is none. */
export function exitReason({ failure, errorLines }: WorkerProcess): string {
  return (failure?.message ?? errorLines.join('\n')).split('\n', 1)[0] ?? '';
}

export function describeWorkerExit({ name, how, why, next }: ProcessEvents['workerExited'][0]): string {
  return `the process of ${name} exited (${how})${why === '' ? '' : `: ${why}`}${next === '' ? '' : `; ${next}`}`;
}

/**
 * Returns the workers' error if they all failed with the same code, otherwise an error that lists how each of them
 * exited.
 */
export function noWorkersReason(workers: readonly WorkerProcess[]): LockstepError {
  const shared = workers[0]?.failure;
  if (shared !== undefined && workers.every((worker) => worker.failure?.code === shared.code)) {
    // The worker processes run the same program, so the code is an ErrorCode.
    return new LockstepError(shared.code as ErrorCode, shared.message);
  }
  const exits = workers.map((worker) => `${worker.name}: ${worker.failure?.message ?? describeExit(worker)}`);
  return new LockstepError('workers-failed', `all worker processes have exited: ${exits.join('; ')}`);
}
