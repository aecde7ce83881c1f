// A scripted coordinator over a real WebSocket on loopback. The test controls every byte that it sends: each worker
// connection runs one script.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import type { ServedPages } from '../../coordinator/connections/http/served-pages.js';
import { cifar10Format, cifar10Description } from '../../shared/dataset/cifar10-layout.js';
import { resolveConfig, workerConfigOf } from '../../shared/config/config.js';
import { layoutHash } from '../../shared/network/layout-hash.js';
import { graphOf } from '../../shared/config/network-config.js';
import { encodeGraph } from '../../shared/network/graph-json.js';
import { layoutNetwork } from '../../shared/network/layout.js';
import { decodeFrame, encodeFrame } from '../../shared/protocol/frame.js';
import {
  parseWorkerMessage,
  type CoordinatorMessage,
  type Hello,
  type Shard,
  type Welcome,
  type WorkerMessage,
} from '../../shared/protocol/messages.js';
import { sha256Of } from '../../shared/sha256.js';

const { recordBytes } = cifar10Format;

const config = resolveConfig({
  depth: 8,
  initialFilters: 4,
  seed: 1,
  slices: 2,
  batchSize: 4,
  heartbeatInterval: 1,
  heartbeatTimeout: 600,
});
const layout = layoutNetwork(graphOf(config), cifar10Format);
/** The network, which is the payload of the welcome. */
export const network = encodeGraph(layout.graph);

/** Returns two images whose labels and bytes identify the shard. */
function imagesOf(shard: number): Buffer {
  const images = Buffer.alloc(2 * recordBytes, 10 * (shard + 1));
  images[0] = images[recordBytes] = shard;
  return images;
}
export const shardImages = [imagesOf(1), imagesOf(2)];
export const shards: Shard[] = shardImages.map((images, index) => ({
  split: 'training',
  index,
  sha256: sha256Of(images),
  bytes: images.length,
}));

/** Welcome message for a run with two slices of two images each. */
export const welcome: Welcome = {
  type: 'welcome',
  workerId: 1,
  runId: 'a run',
  networkBytes: network.length,
  layoutHash: layoutHash(layout),
  config: workerConfigOf(config),
  dataset: cifar10Description,
  stepsPerEpoch: 1,
  shards,
};
export const weightsBytes = 4 * (layout.weightsSize + layout.statisticsSize);

/** Coordinator's end of a worker connection. */
export class Peer {
  readonly socket: WebSocket;
  readonly closed: Promise<unknown>;
  /** The worker's first message. */
  hello!: Hello;
  readonly #arrived: WorkerMessage[] = [];
  #wake: () => void = () => undefined;

  constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => undefined);
    socket.on('message', (data) => {
      this.#arrived.push(parseWorkerMessage(decodeFrame(data as Buffer).header));
      this.#wake();
    });
  }

  get isOpen(): boolean {
    return this.socket.readyState === this.socket.OPEN;
  }

  /** Sends arbitrary bytes. */
  send(bytes: Uint8Array): void {
    if (this.isOpen) this.socket.send(bytes);
  }

  say(message: CoordinatorMessage, ...payload: Uint8Array[]): void {
    this.send(encodeFrame(message, ...payload));
  }

  /** Sends a message that a correct coordinator would never send. */
  lie(message: Record<string, unknown>, ...payload: Uint8Array[]): void {
    this.send(encodeFrame(message, ...payload));
  }

  /**
   * Resolves with the next message of the given type, skipping others. Never resolves if the worker disconnects first.
   */
  async hear<Type extends WorkerMessage['type']>(type: Type): Promise<WorkerMessage & { type: Type }> {
    for (;;) {
      const message = this.#arrived.shift();
      if (message?.type === type) return message as WorkerMessage & { type: Type };
      if (message === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Chooses the first engine that the worker offers. */
  sayEngine(): void {
    this.say({ type: 'use-engine', fingerprint: this.hello.engines[0].fingerprint });
  }

  sayWeights(step = 0): void {
    this.say({ type: 'weights', step }, new Uint8Array(weightsBytes));
  }

  /** Runs a step as a correct coordinator would. @returns the number of images that the worker computed */
  async runStep(): Promise<number> {
    this.say(welcome, network);
    this.sayEngine();
    this.sayWeights();
    for (const { sha256 } of shards) this.say({ type: 'prefetch', sha256 });
    this.say({ type: 'compute', step: 0, ranges: [{ first: 0, count: 2 }] });
    for (;;) {
      const message = this.#arrived.shift();
      if (message?.type === 'gradient') return message.sampleCount;
      if (message?.type === 'shard-request') {
        const { sha256, offset, bytes } = message;
        const images = shardImages[shards.findIndex((shard) => shard.sha256 === sha256)];
        this.say({ type: 'shard-chunk', sha256, offset }, images.subarray(offset, offset + bytes));
      }
      if (message === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

export type Script = (peer: Peer) => Promise<void> | void;

export interface ScriptedCoordinator {
  url: string;
  close: () => Promise<void>;
}

/**
 * @param scripts one script per connection, in order; each starts after the worker's hello
 * @param pages what the port serves to browsers; nothing by default
 */
export async function startScriptedCoordinator(
  scripts: readonly Script[],
  onBroken: (error: unknown) => void,
  pages?: ServedPages,
): Promise<ScriptedCoordinator> {
  const http = createServer((request, response) => {
    if (!pages?.answer(request, response)) response.writeHead(404).end();
  });
  const server = new WebSocketServer({ server: http, perMessageDeflate: false });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  let connections = 0;
  server.on('connection', (socket) => {
    const script = scripts[Math.min(connections++, scripts.length - 1)];
    const peer = new Peer(socket);
    void peer
      .hear('hello')
      .then((hello) => {
        peer.hello = hello;
        return script(peer);
      })
      .catch(onBroken);
  });
  return {
    url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}`,
    async close() {
      for (const client of server.clients) client.terminate();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}
