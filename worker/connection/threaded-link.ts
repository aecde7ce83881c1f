// Connects to the coordinator from a separate thread, which answers heartbeats and receives messages while the engine blocks
// the main thread, which on a slow machine may take longer than the heartbeat timeout. Large frames are not copied
// between the threads: incoming ones are transferred, and partial sums are sent from shared memory.
import { Worker } from 'node:worker_threads';
import { builtFile } from '../../shared/built-file.js';
import type { ClientTls } from '../../shared/protocol/client-tls.js';
import type { HeartbeatOptions } from '../../shared/protocol/heartbeat-exchange.js';
import type { CoordinatorLink, LinkHandlers } from './coordinator-link.js';

export interface LinkTarget {
  url: string;
  tls: ClientTls;
}

/** Message to the connection thread. */
export type LinkCommand =
  | { type: 'send'; frame: Uint8Array; id: number; reuse: readonly ArrayBuffer[] }
  | { type: 'heartbeat'; options: HeartbeatOptions }
  | { type: 'close'; code: number };

/** Message from the connection thread. */
export type LinkEvent =
  | { type: 'open' }
  | { type: 'message'; message: Uint8Array }
  | { type: 'sent'; id: number }
  | { type: 'closed'; reason: string; isFinal: boolean };

export class ThreadedLink implements CoordinatorLink {
  readonly #thread: Worker;
  readonly #onSent = new Map<number, () => void>();
  /** Memory to pass to the thread with the next frame. */
  readonly #unused: ArrayBuffer[] = [];
  #lastId = 0;

  constructor(url: string, handlers: LinkHandlers, tls: ClientTls = {}) {
    this.#thread = new Worker(builtFile('link-thread.js', import.meta.url), {
      workerData: { url, tls } satisfies LinkTarget,
    });
    let closed: LinkHandlers['onClosed'] | undefined = handlers.onClosed;
    const close = (reason: string, isFinal = false) => {
      closed?.(reason, isFinal);
      closed = undefined;
    };
    this.#thread.on('message', (event: LinkEvent) => {
      switch (event.type) {
        case 'open':
          return handlers.onOpen();
        case 'message':
          return handlers.onMessage(event.message);
        case 'sent':
          this.#onSent.get(event.id)?.();
          this.#onSent.delete(event.id);
          return;
        case 'closed':
          return close(event.reason, event.isFinal);
        default:
          event satisfies never;
      }
    });
    this.#thread.on('error', (error) => close(`the connection's thread failed: ${String(error)}`));
    this.#thread.on('exit', () => close("the connection's thread ended"));
  }

  send(frame: Uint8Array, onSent?: () => void): void {
    const id = ++this.#lastId;
    if (onSent !== undefined) this.#onSent.set(id, onSent);
    const reuse = this.#unused.splice(0);
    this.#command({ type: 'send', frame, id, reuse }, ...reuse);
  }

  reuse(memory: ArrayBuffer): void {
    // The thread needs it for the next weights, which arrive after the next partial sum has been sent.
    this.#unused.push(memory);
  }

  startHeartbeat(options: HeartbeatOptions): void {
    this.#command({ type: 'heartbeat', options });
  }

  close(code: number): void {
    this.#command({ type: 'close', code });
  }

  #command(command: LinkCommand, ...transferred: ArrayBuffer[]): void {
    this.#thread.postMessage(command, transferred);
  }
}
