// The WebSockets of open dashboard pages. Pages only receive messages.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Subscriber } from './feed.js';

/** Maximum number of open pages. Limited because each page adds a small cost to every update. */
const maxPages = 64;
/** Time after which a socket whose page has not completed the closing handshake is terminated. */
const closeTimeoutMs = 1_000;

export class WatchSockets {
  readonly #server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 1024 });

  get isFull(): boolean {
    return this.#server.clients.size >= maxPages;
  }

  /** @param subscribe called when the socket is open; returns a function to call when the socket has closed */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer, subscribe: (page: Subscriber) => () => void): void {
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      const unsubscribe = subscribe(new SocketSubscriber(webSocket));
      // An invalid frame ends only the connection that it came from.
      webSocket.on('error', () => webSocket.terminate());
      webSocket.on('close', unsubscribe);
    });
  }

  /** Closes all sockets after all pending data has been sent. */
  async close(): Promise<void> {
    await Promise.all([...this.#server.clients].map((webSocket) => closed(webSocket)));
  }
}

class SocketSubscriber implements Subscriber {
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
