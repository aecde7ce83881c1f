// lockstep worker: a thin shell over the library's startWorker, or a worker process a GPU.
import { availableParallelism, hostname } from 'node:os';
import { Option, type Command } from 'commander';
import type { ClientTlsFiles } from '../../shared/protocol/client-tls.js';
import { systemClock } from '../../shared/clock.js';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { lockstepVersion } from '../../shared/version.js';
import { checkUrl, defaultReconnectTimeoutMs, startWorker, type WorkerOptions } from '../../worker/main.js';
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
import { parseWholeNumber } from '../options/config-options.js';
import { addEngineOptions, gpusOption, readEngineOptions } from '../options/engine-options.js';
import { exitWithParent, isSupervised } from '../process/own-process.js';
import { countOf, duration, RateLimitedPrinter, nowhere, standardOutput } from '../output/line-writer.js';
import { onStopSignals } from '../process/stop-signals.js';
import { addClientTlsOptions, clientTlsArguments, readClientTlsOptions } from '../options/tls-options.js';
import { tokenFileOption, tokenOption, workerToken } from '../options/token-options.js';

interface WorkerCommand {
  url: string;
  engine: EngineChoice;
  /** Undefined where the caller leaves it to the host. */
  name: string | undefined;
  token: string | undefined;
  tls: ClientTlsFiles;
  cache: string | boolean | undefined;
  reconnectTimeoutSeconds: number;
  quiet: boolean;
  json: boolean;
}

export function addWorkerCommand(program: Command): void {
  addClientTlsOptions(
    addEngineOptions(
      program.command('worker <url>').description('compute for a coordinator: ws://HOST:PORT or wss://'),
    ),
  )
    .addOption(gpusOption())
    .option('--workers <N>', 'worker processes on the CPU (default: 1)')
    .option('--name <NAME>', 'what the coordinator calls this worker (default: host name and process id, or GPU)')
    .addOption(tokenOption('what the coordinator is shown'))
    .addOption(tokenFileOption('a file that holds the token'))
    .option('--cache <DIR>', 'where shards are kept between runs (default: ~/.cache/lockstep/shards)')
    .option('--no-cache', 'keep no shards on disk')
    .option('--reconnect-timeout <SECONDS>', 'how long to knock in vain', String(defaultReconnectTimeoutMs / 1000))
    .addOption(new Option('--quiet', 'say nothing but errors').conflicts('json'))
    .option('--json', 'a line of JSON an event on standard output: start, joined, reconnecting, end')
    .action(async (url: string, options: Record<string, string | boolean | undefined>, called: Command) => {
      const { name, reconnectTimeout = '', gpus, workers } = options as Record<string, string | undefined>;
      if (name === '') throw new LockstepError('bad-option', '--name is "": it must be a name, or be left out');
      const command: WorkerCommand = {
        url: checkUrl(url),
        engine: await readEngineOptions(options),
        name,
        token: workerToken(called),
        tls: readClientTlsOptions(options),
        cache: options['cache'],
        reconnectTimeoutSeconds: parseWholeNumber('--reconnect-timeout', reconnectTimeout, 1),
        quiet: options['quiet'] === true,
        json: options['json'] === true,
      };
      // Started by `lockstep train` or `lockstep worker`, which have chosen the device.
      if (isSupervised()) {
        exitWithParent();
        return workHere(command);
      }
      const plans = await planWorkers({
        engine: command.engine.engine,
        gpus,
        workers: workers === undefined ? undefined : parseWholeNumber('--workers', workers, 1, 4096),
        defaultWorkers: 1,
        namePrefix: `${name ?? hostname()}-`,
      });
      const [first] = plans;
      if (plans.length > 1) return workInProcesses(command, plans);
      if (workers === undefined && !isOnGpu(first)) sayWhatLiesIdle(command);
      const plan = { ...first, name: name ?? (isOnGpu(first) ? first.name : `${hostname()}-${process.pid}`) };
      // What a device or an engine wants to find when its process starts needs a process of its own.
      if (Object.keys(plan.environment).length > 0) return workInProcesses(command, [plan]);
      return workHere({ ...command, name: plan.name });
    });
}

function isOnGpu({ environment }: WorkerPlan): boolean {
  return 'CUDA_VISIBLE_DEVICES' in environment;
}

/** For whoever starts one worker of one thread on a machine of many cores. */
function sayWhatLiesIdle(command: WorkerCommand): void {
  const cores = availableParallelism();
  const { threads } = command.engine;
  if (process.env['CUDA_VISIBLE_DEVICES'] !== undefined || threads >= cores) return;
  writerFor(command).line(`computing with ${threads} of ${cores} cores here: --workers ${cores} would use them all`);
}

/** For a person; nothing under --quiet, and under --json, where each event is a line of its own. */
function writerFor({ quiet, json }: WorkerCommand): RateLimitedPrinter {
  return new RateLimitedPrinter(quiet || json ? nowhere : standardOutput);
}

async function workHere(command: WorkerCommand): Promise<void> {
  const { url, engine, name, token, tls, cache, reconnectTimeoutSeconds } = command;
  const options: WorkerOptions = {
    url,
    ...engine,
    name,
    token,
    ...tls,
    cache: cache === false ? null : cache === true ? undefined : cache,
    reconnectTimeoutMs: 1000 * reconnectTimeoutSeconds,
  };
  const worker = await startWorker(options);
  const writer = writerFor(command);
  const tell = (type: string, event: object) => {
    const line = { type, time: new Date().toISOString(), worker: worker.name, ...event };
    if (command.json) standardOutput.write(`${JSON.stringify(line)}\n`);
  };
  tell('start', { lockstepVersion, url, ...worker.engine, engineChoice: worker.engineChoice });
  worker.events.on('joined', (event) => tell('joined', event));
  worker.events.on('cacheFailed', (event) => tell('cache-failed', event));
  worker.events.on('reconnecting', (event) => tell('reconnecting', event));
  if (worker.engineChoice !== undefined) writer.line(`engine: ${worker.engineChoice}`);
  writer.line(`${worker.name} computes with ${worker.engine.fingerprint}; joining ${url}`);
  worker.events.on('joined', ({ workerId, depth, sliceCount, batchSize }) =>
    writer.line(`joined as worker ${workerId}: ResNet-${depth}, batches of ${batchSize} in ${sliceCount} slices`),
  );
  worker.events.on('cacheFailed', ({ message }) =>
    writer.line(`${message}; shards that are missing in it are fetched again`),
  );
  worker.events.on('reconnecting', ({ reason, delayMs }) =>
    writer.line(`not connected (${reason}); trying again ${delayMs < 1000 ? 'now' : `in ${duration(delayMs)}`}`),
  );
  let images = 0;
  worker.events.on('progress', (progress) => {
    images += progress.images;
    if (writer.isTerminal) writer.live([`step ${progress.step + 1}`, `${countOf(images, 'image')} computed`]);
  });

  const ignoreSignals = onStopSignals((signal) => worker.stop(`interrupted by ${signal}`));
  const summary = await worker.done.catch((error: unknown) => {
    tell('error', { code: error instanceof LockstepError ? error.code : 'unknown', message: messageOf(error) });
    writer.endLive();
    throw error;
  });
  ignoreSignals();
  tell('end', summary);
  writer.line(`${summary.reason}; ${countOf(summary.images, 'image')} computed`);
  if (summary.reason.startsWith('interrupted')) throw new LockstepError('interrupted', summary.reason);
}

/**
 * One process a device: a second TensorFlow in one process fails. A process that fails leaves the others at work.
 * A single one writes as if it were this one.
 */
async function workInProcesses(command: WorkerCommand, plans: readonly WorkerPlan[]): Promise<void> {
  const { url, engine, token, tls, cache, reconnectTimeoutSeconds } = command;
  const writer = writerFor(command);
  const args = [
    url,
    ...engineArguments(engine),
    '--reconnect-timeout',
    String(reconnectTimeoutSeconds),
    ...clientTlsArguments(tls),
  ];
  if (command.quiet) args.push('--quiet');
  if (command.json) args.push('--json');
  if (cache === false) args.push('--no-cache');
  else if (typeof cache === 'string') args.push('--cache', cache);
  const start = (plan: WorkerPlan) =>
    startWorkerProcess(plan, {
      args,
      // Not among the arguments, which every user of the machine can read.
      ...(token === undefined ? {} : { environment: { LOCKSTEP_TOKEN: token } }),
      // A line of JSON names its worker itself.
      output:
        plans.length === 1
          ? 'inherit'
          : (line) => (command.json ? standardOutput.write(`${line}\n`) : writer.line(`${plan.name}: ${line}`)),
    });
  const workers = plans.map((plan) =>
    superviseWorker(
      () => start(plan),
      systemClock,
      (worker, next) => {
        // A single one that is refused says so in this command's own last words.
        if (worker.child.exitCode === 0 || (plans.length === 1 && next === '')) return;
        writer.warning(
          describeWorkerExit({ name: plan.name, how: describeExit(worker), why: exitReason(worker), next }),
        );
      },
    ),
  );
  let interruption: NodeJS.Signals | undefined;
  const signalAll = (signal: NodeJS.Signals) => {
    for (const { process: worker, release } of workers) {
      release();
      worker.child.kill(signal);
    }
  };
  const ignoreSignals = onStopSignals(
    (signal) => {
      interruption = signal;
      signalAll(signal);
    },
    () => signalAll('SIGKILL'),
  );
  await Promise.all(workers.map(({ ended }) => ended));
  ignoreSignals();
  const processes = workers.map(({ process: last }) => last);
  if (interruption !== undefined) throw new LockstepError('interrupted', `interrupted by ${interruption}`);
  if (processes.every(({ child }) => child.exitCode !== 0)) throw noWorkersReason(processes);
}
