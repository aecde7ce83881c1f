// Puts a worker together: an engine, a cache, and one session after the other until the coordinator says goodbye.
// The library's startWorker.
import { EventEmitter } from 'node:events';
import { homedir, hostname } from 'node:os';
import path from 'node:path';
import { assertUseFor, readClientTls, type ClientTlsFiles } from '../shared/protocol/client-tls.js';
import { systemClock, type Clock } from '../shared/clock.js';
import type { Preprocessing } from '../shared/dataset/image-batch.js';
import { LockstepError } from '../shared/errors.js';
import { layoutHash } from '../shared/network/layout-hash.js';
import type { ModelLayout } from '../shared/network/layout.js';
import type { OpenLink } from './connection/coordinator-link.js';
import type { Engine, EngineModel, EngineSettings } from './engine.js';
import { openEngine, type EngineName } from './engines/registry.js';
import { ShardMemoryCache } from './shards/shard-memory-cache.js';
import { reconnectDelayMs } from './connection/reconnect-delay.js';
import { WorkerSession, type SessionEnd } from './session.js';
import { ShardCache } from './shards/shard-cache.js';
import { SocketLink } from './connection/socket-link.js';
import { ThreadedLink } from './connection/threaded-link.js';

/** How long a worker knocks at a closed door, unless told otherwise. */
export const defaultReconnectTimeoutMs = 600_000;

export interface WorkerOptions extends EngineSettings, ClientTlsFiles {
  /** The coordinator's: ws://HOST:PORT, or wss://HOST:PORT where it speaks TLS. */
  url: string;
  /** What to compute with, or an engine that is open already (and stays the caller's to close). `auto` unless said. */
  engine?: EngineName | Engine | undefined;
  /** Threads to compute with; 1 unless said. */
  threads?: number | undefined;
  /** How the coordinator calls this worker; host name and process unless said. */
  name?: string | undefined;
  token?: string | undefined;
  /** Where shards are kept between runs; null for nowhere; `~/.cache/lockstep/shards` unless said. */
  cache?: string | null | undefined;
  /** How long to knock in vain before giving up; 600,000 unless said. */
  reconnectTimeoutMs?: number | undefined;
  /**
   * Whether the connection has a thread of its own, and so is alive while the engine holds up this one; true unless
   * said. An engine that never computes for long without a pause does not need it.
   */
  connectionThread?: boolean | undefined;
  clock?: Clock | undefined;
}

/** What a worker tells while it works. */
export interface WorkerEvents {
  joined: [{ url: string; workerId: number; depth: number; sliceCount: number; batchSize: number }];
  progress: [{ step: number; images: number }];
  /** The connection is gone or was never made; the next attempt is in delayMs. */
  reconnecting: [{ reason: string; attempt: number; delayMs: number }];
  /** The cache's folder cannot be read or written, because its disk is full for example: work goes on without it. */
  cacheTrouble: [{ message: string }];
}

export interface WorkerSummary {
  /** The coordinator's words, or why this worker stopped. */
  reason: string;
  /** Images whose gradients were computed. */
  images: number;
}

export interface Worker {
  readonly name: string;
  readonly engine: Engine['identity'];
  /** In words, which engine `auto` took and why. */
  readonly engineChoice: string | undefined;
  readonly events: EventEmitter<WorkerEvents>;
  /** Settles after the coordinator's goodbye or stop. Rejects when refused, when the engine fails, or after giving up. */
  readonly done: Promise<WorkerSummary>;
  /** Says goodbye and ends. */
  stop(reason: string): void;
}

export function defaultCacheDirectory(): string {
  return path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'lockstep', 'shards');
}

/** Throws `bad-option` for anything but ws://HOST[:PORT] or wss://HOST[:PORT]. */
export function checkUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol !== 'ws:' && parsed?.protocol !== 'wss:') {
    throw new LockstepError(
      'bad-option',
      `the coordinator's URL is ${JSON.stringify(url)}: it must be ws://HOST:PORT, for example ws://127.0.0.1:7350`,
    );
  }
  return url;
}

/** Opens the engine and starts knocking. Throws LockstepError where there is no engine or the URL is none. */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const url = checkUrl(options.url);
  let tls = readClientTls(options);
  assertUseFor(tls, url);
  const given = options.engine ?? 'auto';
  const { precision, tensorFlowMode, xla } = options;
  const { engine, choice } =
    typeof given === 'string'
      ? await openEngine(given, { threads: options.threads ?? 1, precision, tensorFlowMode, xla })
      : { engine: given, choice: undefined };
  const clock = options.clock ?? systemClock;
  const worker = new ReconnectingWorker(engine, {
    url,
    openLink(to, handlers) {
      try {
        // At each attempt: certificates are replaced before they expire.
        tls = readClientTls(options);
      } catch {
        // Half of them are replaced, or they are gone: those that were read before are shown until that is mended.
      }
      if (options.connectionThread === false) return new SocketLink(to, handlers, clock, tls);
      return new ThreadedLink(to, handlers, tls);
    },
    name: options.name ?? `${hostname()}-${process.pid}`,
    token: options.token ?? '',
    cacheDirectory: options.cache === undefined ? defaultCacheDirectory() : options.cache,
    reconnectTimeoutMs: options.reconnectTimeoutMs ?? defaultReconnectTimeoutMs,
    clock,
  });
  async function runAndClose(): Promise<WorkerSummary> {
    try {
      return await worker.run();
    } finally {
      worker.release();
      if (typeof given === 'string') await engine.close();
    }
  }
  const done = runAndClose();
  // Whoever holds `done` sees its rejection; without a holder it must not end the process.
  done.catch(() => undefined);
  return {
    name: worker.name,
    engine: engine.identity,
    engineChoice: choice,
    events: worker.events,
    done,
    stop: (reason) => worker.stop(reason),
  };
}

interface ReconnectingOptions {
  url: string;
  openLink: OpenLink;
  name: string;
  token: string;
  cacheDirectory: string | null;
  reconnectTimeoutMs: number;
  clock: Clock;
}

/** Joins a coordinator, and joins again when the connection is lost. */
class ReconnectingWorker {
  readonly events = new EventEmitter<WorkerEvents>();
  readonly #engine: Engine;
  readonly #options: ReconnectingOptions;
  readonly #abort = new AbortController();
  readonly #cache: ShardCache;
  readonly #memoryCache = new ShardMemoryCache();
  /** Kept over reconnections: the model on the device does not change with the connection. */
  #model: { key: string; model: EngineModel } | undefined;
  #session: WorkerSession | undefined;
  #images = 0;

  constructor(engine: Engine, options: ReconnectingOptions) {
    this.#engine = engine;
    this.#options = options;
    this.#cache = new ShardCache(options.cacheDirectory, {
      onTrouble: (message) => this.events.emit('cacheTrouble', { message }),
    });
  }

  get name(): string {
    return this.#options.name;
  }

  stop(reason: string): void {
    this.#abort.abort(reason);
    this.#session?.stop(reason);
  }

  release(): void {
    this.#model?.model.dispose();
    this.#model = undefined;
  }

  async run(): Promise<WorkerSummary> {
    const { clock, reconnectTimeoutMs, url } = this.#options;
    let attemptsInVain = 0;
    let lastWelcomeMs = clock.now();
    while (!this.#abort.signal.aborted) {
      let wasWelcome = false;
      const end = await this.#runSession(() => {
        wasWelcome = true;
      });
      if (end.kind === 'stopped' || this.#abort.signal.aborted) break;
      if (end.kind === 'goodbye') return this.#summary(end.reason);
      if (end.kind === 'refused') {
        if (end.code === 'finished') return this.#summary(end.message);
        throw new LockstepError('refused', `${url} refused this worker (${end.code}): ${end.message}`);
      }
      if (end.isFinal) throw new LockstepError('refused', `${url} cannot be joined: ${end.reason}`);
      if (wasWelcome) {
        attemptsInVain = 0;
        lastWelcomeMs = clock.now();
      }
      if (clock.now() - lastWelcomeMs > reconnectTimeoutMs) {
        throw new LockstepError(
          'unreachable',
          `${url} could not be reached for ${reconnectTimeoutMs / 1000} s (${end.reason}): is the coordinator running there?`,
        );
      }
      attemptsInVain++;
      const delayMs = reconnectDelayMs(attemptsInVain, Math.random());
      this.events.emit('reconnecting', { reason: end.reason, attempt: attemptsInVain, delayMs });
      await this.#pause(delayMs);
    }
    return this.#summary(String(this.#abort.signal.reason));
  }

  #summary(reason: string): WorkerSummary {
    return { reason, images: this.#images };
  }

  async #runSession(onWelcome: () => void): Promise<SessionEnd> {
    const { url, openLink, name, token } = this.#options;
    this.#session = new WorkerSession({
      url,
      name,
      token,
      cache: this.#cache,
      memoryCache: this.#memoryCache,
      openLink,
      engine: this.#engine.identity,
      modelFor: (...model) => this.#modelFor(...model),
      onWelcome: ({ workerId, config: { depth, slices, batchSize } }) => {
        onWelcome();
        this.events.emit('joined', { url, workerId, depth, sliceCount: slices, batchSize });
      },
      onProgress: (step, images) => {
        this.#images += images;
        this.events.emit('progress', { step, images });
      },
    });
    try {
      return await this.#session.ended;
    } finally {
      await this.#session.idle();
    }
  }

  async #modelFor(layout: ModelLayout, preprocessing: Preprocessing, labelSmoothing: number): Promise<EngineModel> {
    const key = JSON.stringify([layoutHash(layout), layout.spec.bnEpsilon, preprocessing, labelSmoothing]);
    if (this.#model?.key !== key) {
      this.release();
      this.#model = { key, model: await this.#engine.createModel(layout, preprocessing, labelSmoothing) };
    }
    return this.#model.model;
  }

  /** Ends early when the worker is stopped. */
  async #pause(delayMs: number): Promise<void> {
    const { signal } = this.#abort;
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        stopTimer();
        signal.removeEventListener('abort', end);
        resolve();
      };
      const stopTimer = this.#options.clock.after(delayMs, end);
      signal.addEventListener('abort', end);
    });
  }
}
