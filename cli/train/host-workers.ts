// Several workers on one machine with a single connection to the coordinator: `lockstep worker --workers N`, or on several
// GPUs. A relay in this process has the connection and the cache of shards; the worker processes join it over loopback.
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { startRelay, type RelayAddress } from '../../relay/main.js';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { exitTimeoutMs, noWorkersReason, type WorkerPlan } from '../../single-node/worker-processes.js';
import { maxShardsBytesInMemory } from '../../worker/shards/run-shards.js';
import { withFlags } from '../output/flag-names.js';
import type { RateLimitedPrinter } from '../output/printer.js';
import { interruptedBy, onStopSignals } from '../process/stop-signals.js';
import { showConnection, writeEvents } from './connection-output.js';
import { superviseWorkers, type SupervisedWorkers, type WorkerCommand } from './supervised-workers.js';

/** Runs each worker in a separate process until the run ends. When a worker fails, the others continue. */
export async function runBehindRelay(
  command: WorkerCommand,
  plans: readonly WorkerPlan[],
  printer: RateLimitedPrinter,
): Promise<void> {
  const { url, options } = command;
  const workersToken = randomBytes(16).toString('hex');
  const relay = await startRelay({
    url,
    isForHost: true,
    name: `${options.name ?? hostname()}-relay`,
    coordinatorToken: command.token,
    tlsCa: options.tlsCa,
    clientCertificate: { tlsCert: options.tlsCert, tlsKey: options.tlsKey },
    cache: options.cache === false ? null : options.cache,
    reconnectTimeoutMs: 1000 * options.reconnectTimeout,
    port: 0,
    token: workersToken,
  });
  printer.line(`${relay.name} is connecting to ${url} for ${plans.length} workers`);
  showConnection(relay.events, 'relay', printer);
  const writeEvent = options.json ? writeEvents(relay, { url, engines: [] }) : () => undefined;
  let workers: SupervisedWorkers | undefined;
  let interrupted: LockstepError | undefined;
  relay.events.on('listening', (address) => {
    if (interrupted !== undefined) return;
    workers = superviseWorkers(() => behind(command, address, workersToken), plans, printer);
    void workers.ended.then(() => relay.stop('all worker processes have exited'));
  });
  const ignoreSignals = onStopSignals(
    (signal) => {
      interrupted = interruptedBy(signal);
      relay.stop(interrupted.message);
      workers?.signal(signal);
    },
    () => workers?.signal('SIGKILL'),
  );
  try {
    const summary = await relay.done;
    await exitOf(workers);
    if (interrupted !== undefined) throw interrupted;
    const processes = workers?.processes ?? [];
    if (processes.every(({ child }) => child.exitCode !== 0)) throw noWorkersReason(processes);
    writeEvent('end', summary);
  } catch (error) {
    await exitOf(workers);
    const code = error instanceof LockstepError ? error.code : 'unknown';
    writeEvent('error', { code, message: withFlags(messageOf(error)) });
    throw error;
  } finally {
    ignoreSignals();
  }
}

/** Returns the command of a process that joins the relay. */
function behind({ engine, options }: WorkerCommand, relay: RelayAddress, token: string): WorkerCommand {
  // Over loopback, shards arrive faster than from disk, and the relay has already cached them.
  const cache = relay.shardsBytes <= maxShardsBytesInMemory ? false : options.cache;
  const noTls = { tlsCa: undefined, tlsCert: undefined, tlsKey: undefined };
  return { url: relay.url, engine, token, options: { ...options, ...noTls, cache } };
}

/** Resolves when all processes have exited. Kills those that do not exit after the relay has said goodbye. */
async function exitOf(workers: SupervisedWorkers | undefined): Promise<void> {
  if (workers === undefined) return;
  workers.release();
  const timer = setTimeout(() => workers.signal('SIGKILL'), exitTimeoutMs);
  await workers.ended;
  await Promise.all(workers.processes.map(({ exited }) => exited));
  clearTimeout(timer);
}
