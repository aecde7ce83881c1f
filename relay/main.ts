// startRelay: joins a coordinator as a relay, and opens a port on which workers join the relay.
import { EventEmitter } from 'node:events';
import { hostname } from 'node:os';
import { openAccessPolicy, type AccessOptions } from '../coordinator/connections/access-policy.js';
import { RunEventBus } from '../coordinator/run/run-event-bus.js';
import { systemClock, type Clock } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import type { ClientTlsFiles } from '../shared/protocol/client-tls.js';
import { shardsBytesOf } from '../shared/protocol/messages.js';
import { lockstepVersion } from '../shared/version.js';
import type { WorkerEvents, WorkerSummary } from '../shared/worker/events.js';
import { linkOpener } from '../worker/connection/link-opener.js';
import { checkUrl, defaultCacheDirectory, defaultReconnectTimeoutMs } from '../worker/main.js';
import { ReconnectingWorker } from '../worker/reconnecting-worker.js';
import { WorkerSession, type StartWork, type WorkerIdentity } from '../worker/session.js';
import { DiskShardCache } from '../worker/shards/disk-shard-cache.js';
import { RunShards } from '../worker/shards/run-shards.js';
import { noShardCache } from '../worker/shards/shard-cache.js';
import { RelayWork } from './relay-work.js';
import { RelayedRun } from './relayed-run.js';

/** The options of AccessOptions apply to the port that the workers connect to. */
export interface RelayOptions extends Pick<
  AccessOptions,
  'host' | 'port' | 'token' | 'tokenFile' | 'tlsCert' | 'tlsKey' | 'tlsClientCa'
> {
  /** Address of the coordinator: ws://HOST:PORT, or wss://HOST:PORT for TLS. */
  url: string;
  /** The relay's token for the coordinator. */
  coordinatorToken?: string | undefined;
  /** CA certificates to trust for the coordinator's certificate, instead of the system's. */
  tlsCa?: string | undefined;
  /** The relay's client certificate for the coordinator; by default, `tlsCert` and `tlsKey` if its address is wss://. */
  clientCertificate?: Pick<ClientTlsFiles, 'tlsCert' | 'tlsKey'> | undefined;
  /**
   * Whether only processes that the caller started on this machine may join. A worker's token is then enough for the
   * coordinator. False by default.
   */
  isForHost?: boolean | undefined;
  /** Name of this relay in the coordinator's output. By default, `HOSTNAME-relay`. */
  name?: string | undefined;
  /**
   * Folder where shards are cached between runs, or null to disable the cache. By default, `lockstep/shards` in
   * `$XDG_CACHE_HOME`, or in `~/.cache` if that variable is not set.
   */
  cache?: string | null | undefined;
  /** How long to keep retrying the connection to the coordinator, in milliseconds. 600,000 by default. */
  reconnectTimeoutMs?: number | undefined;
  clock?: Clock | undefined;
}

/** The port that workers connect to. */
export interface RelayAddress {
  /** URL for workers on this machine. */
  url: string;
  host: string;
  port: number;
  /** Total size of the shards of the run, in bytes. */
  shardsBytes: number;
}

export interface RelayEvents extends Pick<WorkerEvents, 'joined' | 'progress' | 'reconnecting' | 'cacheFailed'> {
  /** The port is open: workers can join. */
  listening: [RelayAddress];
}

export interface Relay {
  readonly name: string;
  readonly events: EventEmitter<RelayEvents>;
  /** Publishes the events of the workers: `worker-joined`, `worker-lost`, `engine-assigned`, `inexact` and `access`. */
  readonly workerEvents: RunEventBus;
  /**
   * Resolves after the coordinator says goodbye or `stop` is called, when the workers have been sent a goodbye. Rejects if
   * the coordinator refuses this relay or stays unreachable.
   */
  readonly done: Promise<WorkerSummary>;
  /** Leaves the run, and says goodbye to the workers. */
  stop(reason: string): void;
}

/** Starts a relay. Throws LockstepError if an option is invalid. */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { clock = systemClock, name = `${hostname()}-relay`, cache = defaultCacheDirectory() } = options;
  const { coordinatorToken: token = '', reconnectTimeoutMs = defaultReconnectTimeoutMs } = options;
  const url = checkUrl(options.url);
  const { tlsCert, tlsKey } = options;
  const { clientCertificate = url.startsWith('wss:') ? { tlsCert, tlsKey } : {} } = options;
  const openLink = await linkOpener(
    url,
    { tlsCa: options.tlsCa, ...clientCertificate, connectionThread: false },
    clock,
  );
  const events = new EventEmitter<RelayEvents>();
  const workerEvents = new RunEventBus();
  const onCacheFailure = (message: string) => void events.emit('cacheFailed', { message });
  const shards = new RunShards(cache === null ? noShardCache : new DiskShardCache(cache, onCacheFailure));
  const runs = new RelayedRuns(options, name, workerEvents, clock, (address) => events.emit('listening', address));
  const startWork: StartWork = (joined, link, handlers, controls) => {
    const run = runs.join(joined, controls.fail);
    return new RelayWork(run, shards, link, workerEvents, clock, handlers, controls);
  };
  const relay: WorkerIdentity['relay'] = options.isForHost === true ? 'host' : 'any';
  const identify = async () => ({ name, token, engines: [], cachedShards: await shards.list(), relay });
  const worker = new ReconnectingWorker(
    (handlers) => new WorkerSession(identify, openLink, startWork, handlers),
    { url, reconnectTimeoutMs, clock },
    events as EventEmitter<WorkerEvents>,
  );

  async function runAndClose(): Promise<WorkerSummary> {
    let goodbye = 'the relay has ended';
    try {
      const summary = await worker.run();
      goodbye = summary.reason;
      return summary;
    } catch (error) {
      goodbye = messageOf(error);
      throw error;
    } finally {
      await runs.end(goodbye);
      shards.close();
    }
  }
  const done = runAndClose();
  // Without this handler, a rejection of `done` that nobody awaits would end the process.
  done.catch(() => undefined);
  return { name, events, workerEvents, done, stop: (reason) => worker.stop(reason) };
}

/** The run that the relay has joined; the next one follows on the same port. */
class RelayedRuns {
  readonly #access: ReturnType<typeof openAccessPolicy>;
  readonly #name: string;
  readonly #url: string;
  readonly #events: RunEventBus;
  readonly #clock: Clock;
  readonly #onListening: (address: RelayAddress) => void;
  #current: RelayedRun | undefined;
  /** Settles when the current run's port is open, or cannot be opened. */
  #opened: Promise<void> = Promise.resolve();

  /** Throws `bad-option` if an option of the port is invalid. */
  constructor(
    options: RelayOptions,
    name: string,
    events: RunEventBus,
    clock: Clock,
    onListening: (address: RelayAddress) => void,
  ) {
    this.#access = openAccessPolicy(options);
    this.#name = name;
    this.#url = options.url;
    this.#events = events;
    this.#clock = clock;
    this.#onListening = onListening;
  }

  /**
   * Returns the run that the relay has joined, which it may have joined before.
   * @param onFailure called if the port cannot be opened
   */
  join(joined: Parameters<StartWork>[0], onFailure: (error: unknown) => void): RelayedRun {
    const previous = this.#current;
    const fingerprint = joined.welcome.relay?.fingerprint ?? null;
    if (previous?.welcome.runId === joined.welcome.runId) {
      if (fingerprint !== null) previous.chooseEngine(fingerprint);
      return previous;
    }
    const run = new RelayedRun(joined, this.#access, this.#events, this.#clock);
    this.#current = run;
    this.#opened = this.#opened.then(() => this.#replace(previous, run)).catch(onFailure);
    return run;
  }

  /** Says goodbye to the workers and closes the port. */
  async end(reason: string): Promise<void> {
    await this.#opened;
    await this.#current?.end(reason);
  }

  async #replace(previous: RelayedRun | undefined, run: RelayedRun): Promise<void> {
    await previous?.drop();
    await run.open(() => this.#status(run));
    const { url, host, port } = run.session;
    // The next run uses the same port, also if any free one was allowed.
    this.#access.port = port;
    const shardsBytes = shardsBytesOf(run.welcome.shards);
    if (previous === undefined) this.#onListening({ url, host, port, shardsBytes });
  }

  /** The body of /status. */
  #status({ session }: RelayedRun): object {
    const workers = session.pool.workers.map(({ id, name, address, engineDescription, bytesSent, bytesReceived }) => ({
      id,
      name,
      address,
      ...engineDescription,
      bytesSent,
      bytesReceived,
    }));
    return { lockstepVersion, relay: { name: this.#name, coordinator: this.#url, runId: session.id }, workers };
  }
}
