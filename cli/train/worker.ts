// lockstep worker: runs one worker in this process, or supervises a process for each worker.
import { availableParallelism, hostname } from 'node:os';
import { Option, type Command } from 'commander';
import type { ClientTlsFiles } from '../../shared/protocol/client-tls.js';
import { systemClock } from '../../shared/clock.js';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { lockstepVersion } from '../../shared/version.js';
import { checkUrl, defaultReconnectTimeoutMs, startWorker, type Worker } from '../../worker/main.js';
import { engineArguments, type EngineChoice } from '../../worker/worker-arguments.js';
import { superviseWorker } from '../../single-node/worker-supervisor.js';
import {
  describeWorkerExit,
  describeExit,
  planWorkers,
  startWorkerProcess,
  exitReason,
  noWorkersReason,
  type WorkerPlan,
} from '../../single-node/worker-processes.js';
import { wholeNumberOption, workersOption } from '../options/number-options.js';
import {
  addEngineOptions,
  engineOption,
  gpusOption,
  readEngineOptions,
  type EngineOptionValues,
} from '../options/engine-options.js';
import { exitWithParent, isSupervised } from '../process/own-process.js';
import { formatCount, formatDuration } from '../output/format.js';
import { withFlags } from '../output/flag-names.js';
import { noOutput, RateLimitedPrinter, standardOutput, writeJsonLine } from '../output/printer.js';
import { interruptedBy, onStopSignals } from '../process/stop-signals.js';
import { addClientAccessOptions, readClientToken } from '../options/access-options.js';

interface WorkerOptionValues extends EngineOptionValues, ClientTlsFiles {
  name?: string;
  workers?: number;
  gpus?: string;
  cache?: string | false;
  reconnectTimeout: number;
  quiet?: true;
  json?: true;
}

interface WorkerCommand {
  url: string;
  engine: EngineChoice;
  token: string | undefined;
  options: WorkerOptionValues;
}

export function configure(command: Command): void {
  command
    .description(
      'Start a worker, which computes gradients for a coordinator until the run ends. With several GPUs or with --workers, ' +
        'it starts one process per worker, and restarts processes that crash.',
    )
    .argument('<URL>', 'URL of the coordinator: ws://HOST:PORT, or wss://HOST:PORT with TLS')
    .optionsGroup('Worker:')
    .addOption(gpusOption())
    .addOption(workersOption('number of worker processes, on the CPU (default: 1)'))
    .option(
      '--name <NAME>',
      'worker name that the coordinator shows; with several workers, the prefix of their names (default: HOSTNAME-PID; on ' +
        'GPUs or with several workers, HOSTNAME-gpu-N or HOSTNAME-worker-N)',
    )
    .option('--cache <DIR>', 'where to cache shards between runs (default: ~/.cache/lockstep/shards)')
    .option('--no-cache', 'do not cache shards on disk')
    .addOption(
      wholeNumberOption('--reconnect-timeout <SECONDS>', 'how long to keep retrying the connection', 1).default(
        defaultReconnectTimeoutMs / 1000,
      ),
    );
  addEngineOptions(command, engineOption('auto', 'all that load, of which the coordinator chooses one'));
  addClientAccessOptions(command)
    .optionsGroup('Output:')
    .addOption(new Option('--quiet', 'print only errors').conflicts('json'))
    .option(
      '--json',
      'print one line of JSON per event: start, joined, measuring, measurement-failed, engine, cache-failed, reconnecting, error, end',
    )
    .action(async (url: string, options: WorkerOptionValues) => {
      if (options.name === '') throw new LockstepError('bad-option', '--name is "": omit it, or give a name');
      const engine = await readEngineOptions(options);
      await runWorkers({ url: checkUrl(url), engine, token: readClientToken(command), options });
    });
}

async function runWorkers(command: WorkerCommand): Promise<void> {
  const { name, gpus, workers } = command.options;
  // The parent process has already chosen the device.
  if (isSupervised()) {
    exitWithParent();
    return runHere(command);
  }
  const { engine } = command.engine;
  const plans = await planWorkers({ engine, gpus, workers, defaultWorkers: 1, namePrefix: `${name ?? hostname()}-` });
  if (plans.length > 1) return runInProcesses(command, plans);
  const [first] = plans;
  const isOnGpu = 'CUDA_VISIBLE_DEVICES' in first.environment;
  if (workers === undefined && !isOnGpu) suggestMoreWorkers(command);
  const plan = { ...first, name: name ?? (isOnGpu ? first.name : `${hostname()}-${process.pid}`) };
  // Some environment variables are read only when a process starts.
  if (Object.keys(plan.environment).length > 0) return runInProcesses(command, [plan]);
  return runHere({ ...command, options: { ...command.options, name: plan.name } });
}

function suggestMoreWorkers(command: WorkerCommand): void {
  const cores = availableParallelism();
  const { threads } = command.engine;
  if (process.env['CUDA_VISIBLE_DEVICES'] !== undefined || threads >= cores) return;
  printerFor(command).line(`using ${threads} of ${cores} CPU cores; --workers ${cores} would use all of them`);
}

function printerFor({ options: { quiet, json } }: WorkerCommand): RateLimitedPrinter {
  return new RateLimitedPrinter(quiet || json ? noOutput : standardOutput);
}

async function runHere(command: WorkerCommand): Promise<void> {
  const { url, engine, token, options } = command;
  const worker = await startWorker({
    url,
    ...engine,
    name: options.name,
    token,
    tlsCa: options.tlsCa,
    tlsCert: options.tlsCert,
    tlsKey: options.tlsKey,
    cache: options.cache === false ? null : options.cache,
    reconnectTimeoutMs: 1000 * options.reconnectTimeout,
  });
  const printer = printerFor(command);
  showEvents(worker, url, printer);
  const writeEvent = options.json ? eventWriter(worker, url) : () => undefined;
  const ignoreSignals = onStopSignals((signal) => worker.stop(interruptedBy(signal).message));
  const summary = await worker.done.catch((error: unknown) => {
    const code = error instanceof LockstepError ? error.code : 'unknown';
    writeEvent('error', { code, message: withFlags(messageOf(error)) });
    printer.endLive();
    throw error;
  });
  ignoreSignals();
  writeEvent('end', summary);
  printer.line(`${summary.reason}; ${formatCount(summary.images, 'image')} processed`);
  if (summary.reason.startsWith('interrupted')) throw new LockstepError('interrupted', summary.reason);
}

function showEvents(worker: Worker, url: string, printer: RateLimitedPrinter): void {
  const { events, name, engines } = worker;
  const offers = engines.map(({ fingerprint }) => fingerprint).join(' or ');
  printer.line(`${name} can compute with ${offers}; connecting to ${url}`);
  events.on('measuring', ({ engines: names }) => printer.line(`measuring ${names.join(', ')}`));
  events.on('measurementFailed', ({ message }) => printer.line(message));
  events.on('engine', ({ fingerprint }) => printer.line(`the run uses ${fingerprint}`));
  events.on('joined', ({ workerId, network, sliceCount, batchSize }) =>
    printer.line(
      `joined as worker ${workerId}: ${network}, batches of ${batchSize} in ${formatCount(sliceCount, 'slice')}`,
    ),
  );
  events.on('cacheFailed', ({ message }) =>
    printer.line(`${message}; shards that are not cached will be downloaded from the coordinator`),
  );
  events.on('reconnecting', ({ reason, delayMs }) =>
    printer.line(`not connected (${reason}); retrying ${delayMs < 1000 ? 'now' : `in ${formatDuration(delayMs)}`}`),
  );
  let images = 0;
  events.on('progress', (progress) => {
    images += progress.images;
    printer.live([`step ${progress.step + 1}`, `${formatCount(images, 'image')} processed`]);
  });
}

/** Writes the worker's events as JSON lines. @returns a function that writes further events */
function eventWriter({ events, name, engines }: Worker, url: string) {
  const writeEvent = (type: string, event: object) =>
    writeJsonLine(standardOutput, { type, time: new Date().toISOString(), worker: name, ...event });
  writeEvent('start', { lockstepVersion, url, engines });
  events.on('measuring', (event) => writeEvent('measuring', event));
  events.on('measurementFailed', (event) => writeEvent('measurement-failed', event));
  events.on('engine', (event) => writeEvent('engine', event));
  events.on('joined', (event) => writeEvent('joined', event));
  events.on('cacheFailed', (event) => writeEvent('cache-failed', event));
  events.on('reconnecting', (event) => writeEvent('reconnecting', event));
  return writeEvent;
}

/**
 * Runs each worker in a separate process, because TensorFlow can use only one device per process. When a worker fails,
 * the others continue. Each line of output is prefixed with the worker's name, unless there is only one worker.
 */
async function runInProcesses(command: WorkerCommand, plans: readonly WorkerPlan[]): Promise<void> {
  const { token, options } = command;
  const printer = printerFor(command);
  const isSingle = plans.length === 1;
  const startOptions = {
    args: workerArguments(command),
    // Passed in the environment, because every user of the machine can read the arguments of a process.
    ...(token === undefined ? {} : { environment: { LOCKSTEP_TOKEN: token } }),
  };
  const printLine = (plan: WorkerPlan) => (line: string) =>
    options.json ? standardOutput.write(`${line}\n`) : printer.line(`${plan.name}: ${line}`);
  const workers = plans.map((plan) =>
    superviseWorker(
      () => startWorkerProcess(plan, { ...startOptions, output: isSingle ? 'inherit' : printLine(plan) }),
      systemClock,
      (worker, next) => {
        // If the only worker is not restarted, the error thrown at the end explains why.
        if (worker.child.exitCode === 0 || (isSingle && next === '')) return;
        printer.warning(
          describeWorkerExit({ name: plan.name, how: describeExit(worker), why: exitReason(worker), next }),
        );
      },
    ),
  );
  let receivedSignal: NodeJS.Signals | undefined;
  const signalAll = (signal: NodeJS.Signals) => {
    for (const { process: worker, release } of workers) {
      release();
      worker.child.kill(signal);
    }
  };
  const ignoreSignals = onStopSignals(
    (signal) => {
      receivedSignal = signal;
      signalAll(signal);
    },
    () => signalAll('SIGKILL'),
  );
  await Promise.all(workers.map(({ ended }) => ended));
  ignoreSignals();
  const processes = workers.map(({ process: last }) => last);
  if (receivedSignal !== undefined) throw interruptedBy(receivedSignal);
  if (processes.every(({ child }) => child.exitCode !== 0)) throw noWorkersReason(processes);
}

/** Returns the command-line arguments of a worker process, except for its name. */
function workerArguments({ url, engine, options }: WorkerCommand): string[] {
  const { tlsCa, tlsCert, tlsKey, cache, reconnectTimeout, quiet, json } = options;
  const flags = {
    '--tls-ca': tlsCa,
    '--tls-cert': tlsCert,
    '--tls-key': tlsKey,
    '--cache': cache === false ? undefined : cache,
    '--reconnect-timeout': String(reconnectTimeout),
  };
  const switches = { '--no-cache': cache === false, '--quiet': quiet, '--json': json };
  return [
    url,
    ...engineArguments(engine),
    ...Object.entries(flags).flatMap(([flag, value]) => (value === undefined ? [] : [flag, value])),
    ...Object.entries(switches).flatMap(([flag, isGiven]) => (isGiven ? [flag] : [])),
  ];
}
