// A connection to the coordinator in a thread of its own. An engine's computation holds up its thread, for longer than
// any silence on a slow machine; here pings are answered, and what arrives is taken in, whatever this thread does.
// Only frames change threads: those that arrive are handed over, those that leave are read where they lie.
import { Worker } from 'node:worker_threads';
import { builtFile } from '../../shared/built-file.js';
import type { ClientTls } from '../../shared/protocol/client-tls.js';
import type { CoordinatorLink, LinkHandlers, HeartbeatOptions } from './coordinator-link.js';

/** Where the connection's thread connects to, and what it shows and trusts there. */
export interface LinkTarget {
  url: string;
  tls: ClientTls;
}

/** To the connection's thread. */
export type LinkOrder =
  | { type: 'send'; frame: Uint8Array; id: number | undefined }
  | { type: 'watch'; silence: HeartbeatOptions }
  | { type: 'close'; code: number }
  | { type: 'terminate' };

/** From the connection's thread. */
export type LinkEvent =
  | { type: 'open' }
  | { type: 'message'; message: Uint8Array }
  | { type: 'sent'; id: number }
  | { type: 'closed'; reason: string; isFinal: boolean };

export class ThreadedLink implements CoordinatorLink {
  readonly #thread: Worker;
  readonly #onSent = new Map<number, () => void>();
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
    const id = onSent === undefined ? undefined : ++this.#lastId;
    if (id !== undefined && onSent !== undefined) this.#onSent.set(id, onSent);
    this.#order({ type: 'send', frame, id });
  }

  watch(silence: HeartbeatOptions): void {
    this.#order({ type: 'watch', silence });
  }

  close(code: number): void {
    this.#order({ type: 'close', code });
  }

  terminate(): void {
    this.#order({ type: 'terminate' });
  }

  #order(order: LinkOrder): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, which has no origin
    this.#thread.postMessage(order);
  }
}
