// Worker processes that `lockstep worker` starts, restarts when they crash, and passes signals on to.
import type { ClientTlsFiles } from '../../shared/protocol/client-tls.js';
import { systemClock } from '../../shared/clock.js';
import {
  describeExit,
  describeWorkerExit,
  exitReason,
  startWorkerProcess,
  type WorkerPlan,
  type WorkerProcess,
} from '../../single-node/worker-processes.js';
import { superviseWorker, type WorkerSupervisor } from '../../single-node/worker-supervisor.js';
import { engineArguments, type EngineChoice } from '../../worker/worker-arguments.js';
import type { EngineOptionValues } from '../options/engine-options.js';
import { standardOutput, type RateLimitedPrinter } from '../output/printer.js';

export interface WorkerOptionValues extends EngineOptionValues, ClientTlsFiles {
  name?: string;
  workers?: number;
  gpus?: string;
  cache?: string | false | undefined;
  reconnectTimeout: number;
  quiet?: true;
  json?: true;
}

export interface WorkerCommand {
  url: string;
  engine: EngineChoice;
  token: string | undefined;
  options: WorkerOptionValues;
}

export interface SupervisedWorkers {
  /** Resolves when all processes have exited for good. */
  readonly ended: Promise<unknown>;
  /** The processes, each the last one that was started for its plan. */
  readonly processes: readonly WorkerProcess[];
  /** Stops restarting processes, and sends a signal to those that are running. */
  signal(signal: NodeJS.Signals): void;
  /** Stops restarting processes. */
  release(): void;
}

/**
 * Starts a process for each plan. Each line of output is prefixed with the worker's name, unless there is only one worker.
 * @param commandOf returns the command of a process that is about to be started
 */
export function superviseWorkers(
  commandOf: () => WorkerCommand,
  plans: readonly WorkerPlan[],
  printer: RateLimitedPrinter,
): SupervisedWorkers {
  const isSingle = plans.length === 1;
  function start(plan: WorkerPlan): WorkerProcess {
    const command = commandOf();
    const { token, options } = command;
    const printLine = (line: string) =>
      options.json ? standardOutput.write(`${line}\n`) : printer.line(`${plan.name}: ${line}`);
    return startWorkerProcess(plan, {
      args: workerArguments(command),
      // Passed in the environment, because every user of the machine can read the arguments of a process.
      ...(token === undefined ? {} : { environment: { LOCKSTEP_TOKEN: token } }),
      output: isSingle ? 'inherit' : printLine,
    });
  }
  const workers: WorkerSupervisor<WorkerProcess>[] = plans.map((plan) =>
    superviseWorker(
      () => start(plan),
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
  function release(): void {
    for (const worker of workers) worker.release();
  }
  return {
    ended: Promise.all(workers.map(({ ended }) => ended)),
    get processes() {
      return workers.map(({ process: last }) => last);
    },
    signal(signal) {
      release();
      for (const { process: worker } of workers) worker.child.kill(signal);
    },
    release,
  };
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
