// lockstep worker: runs one worker in this process, or supervises a process for each worker.
import { availableParallelism, hostname } from 'node:os';
import { Option, type Command } from 'commander';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { checkUrl, defaultReconnectTimeoutMs, startWorker, type Worker } from '../../worker/main.js';
import { planWorkers, noWorkersReason, type WorkerPlan } from '../../single-node/worker-processes.js';
import { wholeNumberOption, workersOption } from '../options/number-options.js';
import { addEngineOptions, engineOption, gpusOption, readEngineOptions } from '../options/engine-options.js';
import { exitWithParent, isSupervised } from '../process/own-process.js';
import { formatCount } from '../output/format.js';
import { withFlags } from '../output/flag-names.js';
import { noOutput, RateLimitedPrinter, standardOutput } from '../output/printer.js';
import { interruptedBy, onStopSignals } from '../process/stop-signals.js';
import { addClientAccessOptions, readClientToken } from '../options/access-options.js';
import { showConnection, writeEvents } from './connection-output.js';
import { superviseWorkers, type WorkerCommand, type WorkerOptionValues } from './supervised-workers.js';

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
  if (plans.length > 1) {
    // Only this case needs the modules of a relay.
    const { runBehindRelay } = await import('./host-workers.js');
    return runBehindRelay(command, plans, printerFor(command));
  }
  const [first] = plans;
  const isOnGpu = 'CUDA_VISIBLE_DEVICES' in first.environment;
  if (workers === undefined && !isOnGpu) suggestMoreWorkers(command);
  const plan = { ...first, name: name ?? (isOnGpu ? first.name : `${hostname()}-${process.pid}`) };
  // Some environment variables are read only when a process starts.
  if (Object.keys(plan.environment).length > 0) return runInProcess(command, plan);
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
  const writeEvent = options.json ? writeWorkerEvents(worker, url) : () => undefined;
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
  showConnection(events, 'worker', printer);
  let images = 0;
  events.on('progress', (progress) => {
    images += progress.images;
    printer.live([`step ${progress.step + 1}`, `${formatCount(images, 'image')} processed`]);
  });
}

function writeWorkerEvents({ name, events, engines }: Worker, url: string): (type: string, event: object) => void {
  const writeEvent = writeEvents({ name, events }, { url, engines });
  events.on('measuring', (event) => writeEvent('measuring', event));
  events.on('measurementFailed', (event) => writeEvent('measurement-failed', event));
  events.on('engine', (event) => writeEvent('engine', event));
  return writeEvent;
}

/** Runs the only worker in a process of its own, because its device is chosen when the process starts. */
async function runInProcess(command: WorkerCommand, plan: WorkerPlan): Promise<void> {
  const worker = superviseWorkers(() => command, [plan], printerFor(command));
  let receivedSignal: NodeJS.Signals | undefined;
  const ignoreSignals = onStopSignals(
    (signal) => {
      receivedSignal = signal;
      worker.signal(signal);
    },
    () => worker.signal('SIGKILL'),
  );
  await worker.ended;
  ignoreSignals();
  if (receivedSignal !== undefined) throw interruptedBy(receivedSignal);
  if (worker.processes.every(({ child }) => child.exitCode !== 0)) throw noWorkersReason(worker.processes);
}
