// Implements the library's startWorker(): assembles a worker from an engine, shard caches and a connection.
import { EventEmitter } from 'node:events';
import { hostname } from 'node:os';
import path from 'node:path';
import { cacheFolder } from '../shared/cache-folder.js';
import { systemClock, type Clock } from '../shared/clock.js';
import type { EngineName } from '../shared/engine-names.js';
import { LockstepError } from '../shared/errors.js';
import type { EngineIdentity } from '../shared/protocol/engine-identity.js';
import type { ClientTlsFiles } from '../shared/protocol/client-tls.js';
import { openComputeSession } from './compute-session.js';
import { linkOpener } from './connection/link-opener.js';
import { DeviceModels } from './device-models.js';
import type { Engine, EngineSettings } from './engine.js';
import { openEngines } from './engines/registry.js';
import { EngineSpeeds } from './measurement/engine-speeds.js';
import { DiskSpeedCache } from './measurement/speed-cache.js';
import type { WorkerEvents, WorkerSummary } from '../shared/worker/events.js';
import { ReconnectingWorker } from './reconnecting-worker.js';
import type { SessionHandlers } from './session.js';
import { DiskShardCache } from './shards/disk-shard-cache.js';
import { RunShards } from './shards/run-shards.js';
import { noShardCache } from './shards/shard-cache.js';

export const defaultReconnectTimeoutMs = 600_000;

export interface WorkerOptions extends EngineSettings, ClientTlsFiles {
  /** Address of the coordinator: ws://HOST:PORT, or wss://HOST:PORT for TLS. */
  url: string;
  /**
   * Name of an engine, or engines that are already open, which the caller must close. `auto`, the default, offers every
   * engine that this machine can load, and the coordinator chooses one for the run.
   */
  engine?: EngineName | Engine | readonly Engine[] | undefined;
  /** Number of compute threads. 1 by default. */
  threads?: number | undefined;
  /** Name of this worker in the coordinator's output. By default, the host name and the process ID. */
  name?: string | undefined;
  token?: string | undefined;
  /**
   * Folder where shards are cached between runs, or null to disable the cache. By default, `lockstep/shards` in
   * `$XDG_CACHE_HOME`, or in `~/.cache` if that variable is not set.
   */
  cache?: string | null | undefined;
  /** How long to keep retrying the connection, in milliseconds. 600,000 by default. */
  reconnectTimeoutMs?: number | undefined;
  /**
   * Whether to run the connection in a separate thread, which answers heartbeats while the engine blocks the main
   * thread. True by default. Not needed for an engine that never blocks for long.
   */
  connectionThread?: boolean | undefined;
  clock?: Clock | undefined;
}

export interface Worker {
  readonly name: string;
  /** Engines that this worker offers. The event `engine` tells which one the run uses. */
  readonly engines: readonly EngineIdentity[];
  readonly events: EventEmitter<WorkerEvents>;
  /**
   * Resolves after the coordinator says goodbye or `stop` is called. Rejects if the coordinator refuses this worker or
   * stays unreachable, or if the engine fails.
   */
  readonly done: Promise<WorkerSummary>;
  /** Leaves the run: tells the coordinator the reason and closes the connection. */
  stop(reason: string): void;
}

export function defaultCacheDirectory(): string {
  return path.join(cacheFolder(), 'shards');
}

/** Returns the URL if it is valid and its scheme is ws or wss. Otherwise, throws `bad-option`. */
export function checkUrl(url: string): string {
  const { protocol } = URL.canParse(url) ? new URL(url) : { protocol: undefined };
  if (protocol === 'ws:' || protocol === 'wss:') return url;
  throw new LockstepError(
    'bad-option',
    `\`url\` is ${JSON.stringify(url)}: it must be ws://HOST:PORT or wss://HOST:PORT, for example ws://127.0.0.1:7350`,
  );
}

/**
 * Opens the engine and starts connecting. Throws LockstepError if an option is invalid or the engine cannot be opened.
 */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const url = checkUrl(options.url);
  const { engine: engineOption = 'auto', threads = 1, precision, tensorFlowMode, xla, clock = systemClock } = options;
  const openLink = await linkOpener(url, options, clock);
  const engines =
    typeof engineOption === 'string'
      ? await openEngines(engineOption, { threads, precision, tensorFlowMode, xla })
      : [engineOption].flat();

  const events = new EventEmitter<WorkerEvents>();
  const { cache = defaultCacheDirectory(), reconnectTimeoutMs = defaultReconnectTimeoutMs } = options;
  const onFailure = (message: string) => void events.emit('cacheFailed', { message });
  const shards = new RunShards(cache === null ? noShardCache : new DiskShardCache(cache, onFailure));
  const { name = `${hostname()}-${process.pid}`, token = '' } = options;
  const devices = new DeviceModels(engines);
  const speeds = new EngineSpeeds(devices, new DiskSpeedCache(cacheFolder()), {
    onMeasuring: (names) => void events.emit('measuring', { engines: names }),
    onFailure: (message) => void events.emit('measurementFailed', { message }),
  });
  const openSession = (handlers: SessionHandlers) =>
    openComputeSession({ name, token }, openLink, { devices, speeds }, shards, handlers);
  const worker = new ReconnectingWorker(openSession, { url, reconnectTimeoutMs, clock }, events);

  async function runAndClose(): Promise<WorkerSummary> {
    try {
      return await worker.run();
    } finally {
      devices.dispose();
      shards.close();
      if (typeof engineOption === 'string') await Promise.all(engines.map((engine) => engine.close()));
    }
  }
  const done = runAndClose();
  // Without this handler, a rejection of `done` that nobody awaits would end the process.
  done.catch(() => undefined);
  return {
    name,
    engines: devices.offers,
    events,
    done,
    stop: (reason) => worker.stop(reason),
  };
}
