// Where workers come in: the port, who may join, what they are told of the run, and whose word goes to the pool.
import type { Clock } from '../shared/clock.js';
import { workerConfigOf, type Config } from '../shared/config/config.js';
import { measuredArraysOf } from '../shared/dataset/measured-preprocessing.js';
import { ProtocolError } from '../shared/errors.js';
import { layoutHash, littleEndianBytes } from '../shared/network/layout-hash.js';
import type { ModelLayout } from '../shared/network/layout.js';
import { maxWorkerMessageBytes, type Welcome, type WorkerMessage } from '../shared/protocol/messages.js';
import { isLoopback } from './connections/http-access.js';
import type { ShardStore } from './dataset/shard-store.js';
import { connectionLimitsFor } from './connections/connection-limiter.js';
import type { JoiningWorker, Refusal } from './connections/handshake.js';
import { startServer, type ServedPages, type ServerOptions } from './connections/server.js';
import type { ServerTls } from './connections/server-tls.js';
import type { TokenTable } from './connections/tokens.js';
import { WorkerConnection } from './connections/worker-connection.js';
import type { WorkerPool } from './connections/worker-pool.js';

export const defaultPort = 7350;

/** A worker a slice computes; beyond some spares each, others only cost memory. */
function maxWorkersFor(slices: number): number {
  return Math.max(256, 16 * slices);
}

/** Of a shard store, what workers are told and sent. */
export type ServedShards = Pick<ShardStore, 'shards' | 'records' | 'preprocessing' | 'stepsPerEpoch'>;

export interface ReceptionOptions {
  host?: string | undefined;
  port?: number | undefined;
  tokens: () => TokenTable;
  tls?: ServerTls | undefined;
  /** Told in words of what happens at the door. */
  tell: (message: string) => void;
  config: Config;
  layout: ModelLayout;
  store: ServedShards;
  pool: WorkerPool;
  runId: string;
  clock: Clock;
  /** The fingerprint that an --exact run holds to; undefined before the first worker. */
  firstFingerprint: () => string | undefined;
  /** Why nobody is let in any more; undefined while workers are. */
  whyClosed: () => string | undefined;
  /** What /status tells. */
  status: () => object;
  /** What /metrics tells; nothing unless said. */
  metrics?: ServerOptions['metrics'];
  /** Why the run cannot go on now; undefined while it can. */
  notReady: () => string | undefined;
  /** What else is served on the port; nothing unless said. */
  pages?: ServedPages | undefined;
}

export interface Reception {
  /** What a worker on this machine connects to. */
  url: string;
  host: string;
  port: number;
  /** Frees the port. Workers that are told goodbye do not come back; others knock again. */
  close(goodbye?: string): Promise<void>;
}

/** Listens. Throws `port-in-use` and `bad-address`. */
export async function openReception(options: ReceptionOptions): Promise<Reception> {
  const { host = '127.0.0.1', port = defaultPort, config, layout, store, pool, clock } = options;
  const hash = layoutHash(layout);
  const silence = {
    heartbeatIntervalMs: 1000 * config.heartbeatInterval,
    heartbeatTimeoutMs: 1000 * config.heartbeatTimeout,
  };
  let nextWorkerId = 1;

  function admit({ socket, transport, hello, address, failed }: JoiningWorker): Refusal | undefined {
    // Workers that come before the run begins to count them are in the pool.
    const first = options.firstFingerprint() ?? pool.workers[0]?.engine.fingerprint;
    if (config.exact && first !== undefined && first !== hello.engine.fingerprint) {
      return {
        code: 'fingerprint',
        message:
          `the run is --exact and computes with ${first}, this worker with ${hello.engine.fingerprint}: ` +
          'use the same engine, version and settings, or start the run without --exact',
      };
    }
    const worker: WorkerConnection = new WorkerConnection(
      socket,
      transport,
      {
        id: nextWorkerId++,
        name: hello.name,
        address,
        engine: hello.engine,
        cachedShards: hello.cachedShards,
        shardRecords: store.records,
        imagesPerSlice: config.batchSize / config.slices,
        ...silence,
        clock,
      },
      {
        onMessage: (message, payload) => receive(worker, message, payload),
        onBroken: failed,
        onClosed: (reason) => pool.remove(worker, reason),
      },
    );
    worker.send(
      welcomeOf(worker.id),
      ...measuredArraysOf(store.preprocessing).map(({ values }) => littleEndianBytes(values)),
    );
    pool.add(worker);
    return undefined;
  }

  function welcomeOf(workerId: number): Welcome {
    return {
      type: 'welcome',
      workerId,
      runId: options.runId,
      layoutHash: hash,
      config: workerConfigOf(config),
      stepsPerEpoch: store.stepsPerEpoch,
      shards: [...store.shards],
    };
  }

  function receive(worker: WorkerConnection, message: WorkerMessage, payload: Uint8Array): void {
    switch (message.type) {
      case 'gradient':
        return pool.gradientFrom(worker, message, payload);
      case 'timing':
        return pool.timingFrom(worker, message);
      case 'evaluation':
        return pool.evaluationFrom(worker, message, payload);
      case 'shard-held':
        return pool.shardHeldBy(worker);
      case 'failure':
        return worker.dismiss('engine-failed', `engine failed: ${message.message}`);
      case 'hello':
        throw new ProtocolError('a worker said hello twice');
      case 'shard-request':
      case 'leave':
        throw new ProtocolError(`${message.type} is the connection's own business`);
      default:
        message satisfies never;
    }
  }

  const server = await startServer({
    host,
    port,
    tokens: options.tokens,
    tls: options.tls,
    tell: options.tell,
    maxMessageBytes: maxWorkerMessageBytes(layout, config.slices),
    guard: connectionLimitsFor(config.slices),
    isFull: () => pool.size >= maxWorkersFor(config.slices),
    clock,
    admit(applicant) {
      const whyNot = options.whyClosed();
      return whyNot === undefined ? admit(applicant) : { code: 'finished', message: whyNot };
    },
    status: options.status,
    metrics: options.metrics,
    notReady: options.notReady,
    pages: options.pages,
  });
  return {
    url: `${options.tls === undefined ? 'ws' : 'wss'}://${isLoopback(host) ? host.replace('::1', '[::1]') : '127.0.0.1'}:${server.port}`,
    host,
    port: server.port,
    async close(goodbye) {
      if (goodbye !== undefined) await Promise.all(pool.workers.map((worker) => worker.goodbye(goodbye)));
      await server.close();
    },
  };
}
