// The sockets of pages that watch: they are told things and have nothing to say.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Watcher } from './feed.js';

/** More pages than anybody has open; each costs a little with every update. */
const maxWatchers = 64;
/** A page that does not close its end when the run is over is left alone after that. */
const closeTimeoutMs = 1_000;

export class WatchSockets {
  readonly #server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 1024 });

  get isFull(): boolean {
    return this.#server.clients.size >= maxWatchers;
  }

  /** @param join called with the page once it can be told something, and returns what to do when it has gone */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer, join: (watcher: Watcher) => () => void): void {
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      const leave = join(new SocketWatcher(webSocket));
      // What a broken page says ends its connection alone.
      webSocket.on('error', () => webSocket.terminate());
      webSocket.on('close', leave);
    });
  }

  /** Lets what is on its way leave, and says goodbye. */
  async close(): Promise<void> {
    await Promise.all([...this.#server.clients].map((webSocket) => closed(webSocket)));
  }
}

class SocketWatcher implements Watcher {
  readonly #webSocket: WebSocket;

  constructor(webSocket: WebSocket) {
    this.#webSocket = webSocket;
  }

  get bufferedBytes(): number {
    return this.#webSocket.bufferedAmount;
  }

  send(text: string): void {
    this.#webSocket.send(text);
  }

  close(): void {
    this.#webSocket.close(1000);
  }
}

async function closed(webSocket: WebSocket): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => webSocket.terminate(), closeTimeoutMs);
    webSocket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    webSocket.close(1000);
  });
}
