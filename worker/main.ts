// The library's startWorker: puts a worker together from an engine, a shard cache and a connection.
import { EventEmitter } from 'node:events';
import { homedir, hostname } from 'node:os';
import path from 'node:path';
import { systemClock, type Clock } from '../shared/clock.js';
import { LockstepError } from '../shared/errors.js';
import { assertUseFor, readClientTls, type ClientTlsFiles } from '../shared/protocol/client-tls.js';
import type { OpenLink } from './connection/coordinator-link.js';
import { SocketLink } from './connection/socket-link.js';
import { ThreadedLink } from './connection/threaded-link.js';
import { DeviceModel } from './device-model.js';
import type { Engine, EngineSettings } from './engine.js';
import { openEngine, type EngineName } from './engines/registry.js';
import { ReconnectingWorker, type WorkerEvents, type WorkerSummary } from './reconnecting-worker.js';
import { WorkerSession, type SessionHandlers } from './session.js';
import { DiskShardCache, noShardCache } from './shards/disk-shard-cache.js';
import { ShardMemoryCache } from './shards/shard-memory-cache.js';

export type { WorkerEvents, WorkerSummary } from './reconnecting-worker.js';

export const defaultReconnectTimeoutMs = 600_000;

export interface WorkerOptions extends EngineSettings, ClientTlsFiles {
  /** Address of the coordinator: ws://HOST:PORT, or wss://HOST:PORT over TLS. */
  url: string;
  /** Name of an engine, or an open one, which the caller closes. `auto` by default. */
  engine?: EngineName | Engine | undefined;
  /** Number of threads to compute with. 1 by default. */
  threads?: number | undefined;
  /** Name of this worker in the coordinator's output. Host name and process id by default. */
  name?: string | undefined;
  token?: string | undefined;
  /** Folder that keeps shards between runs; null for none. `~/.cache/lockstep/shards` by default. */
  cache?: string | null | undefined;
  /** Milliseconds to keep retrying the connection. 600,000 by default. */
  reconnectTimeoutMs?: number | undefined;
  /**
   * Whether the connection has a thread of its own, which answers heartbeats while the engine blocks this one. True by
   * default; unnecessary for an engine that never computes for long without yielding.
   */
  connectionThread?: boolean | undefined;
  clock?: Clock | undefined;
}

export interface Worker {
  readonly name: string;
  readonly engine: Engine['identity'];
  /** Which engine `auto` chose and why; undefined for an engine chosen by name. */
  readonly engineChoice: string | undefined;
  readonly events: EventEmitter<WorkerEvents>;
  /**
   * Resolves after the coordinator's goodbye or after `stop`. Rejects when the coordinator refuses this worker or stays
   * unreachable, and when the engine fails.
   */
  readonly done: Promise<WorkerSummary>;
  /** Says goodbye to the coordinator and ends. */
  stop(reason: string): void;
}

export function defaultCacheDirectory(): string {
  return path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'lockstep', 'shards');
}

/** Returns the URL if it is ws://HOST[:PORT] or wss://HOST[:PORT], otherwise throws `bad-option`. */
export function checkUrl(url: string): string {
  const { protocol } = URL.canParse(url) ? new URL(url) : { protocol: undefined };
  if (protocol === 'ws:' || protocol === 'wss:') return url;
  throw new LockstepError(
    'bad-option',
    `\`url\` is ${JSON.stringify(url)}: it must be ws://HOST:PORT, for example ws://127.0.0.1:7350`,
  );
}

/** Opens the engine and starts connecting. Throws LockstepError if an option is wrong or the engine cannot be opened. */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const url = checkUrl(options.url);
  const { engine: engineOption = 'auto', threads = 1, precision, tensorFlowMode, xla, clock = systemClock } = options;
  const openLink = linkOpener(url, options, clock);
  const { engine, choice } =
    typeof engineOption === 'string'
      ? await openEngine(engineOption, { threads, precision, tensorFlowMode, xla })
      : { engine: engineOption, choice: undefined };

  const events = new EventEmitter<WorkerEvents>();
  const { cache = defaultCacheDirectory(), reconnectTimeoutMs = defaultReconnectTimeoutMs } = options;
  const onFailure = (message: string) => void events.emit('cacheFailed', { message });
  const disk = cache === null ? noShardCache : new DiskShardCache(cache, onFailure);
  const caches = { memory: new ShardMemoryCache(), disk };
  const { name = `${hostname()}-${process.pid}`, token = '' } = options;
  const identity = { name, token, engine: engine.identity };
  const device = new DeviceModel(engine);
  const openSession = (handlers: SessionHandlers) => new WorkerSession(identity, openLink, device, caches, handlers);
  const worker = new ReconnectingWorker(openSession, { url, reconnectTimeoutMs, clock }, events);

  async function runAndClose(): Promise<WorkerSummary> {
    try {
      return await worker.run();
    } finally {
      device.dispose();
      if (typeof engineOption === 'string') await engine.close();
    }
  }
  const done = runAndClose();
  // If nobody awaits `done`, its rejection must not end the process.
  done.catch(() => undefined);
  return {
    name,
    engine: engine.identity,
    engineChoice: choice,
    events,
    done,
    stop: (reason) => worker.stop(reason),
  };
}

/** Throws `bad-option` for TLS files that cannot be used. */
function linkOpener(url: string, options: WorkerOptions, clock: Clock): OpenLink {
  let tls = readClientTls(options);
  assertUseFor(tls, url);
  return (handlers) => {
    try {
      // Read again for each connection, because certificates are renewed before they expire.
      tls = readClientTls(options);
    } catch {
      // Files may be missing or inconsistent during a renewal: use the ones read before.
    }
    if (options.connectionThread === false) return new SocketLink(url, handlers, clock, tls);
    return new ThreadedLink(url, handlers, tls);
  };
}
