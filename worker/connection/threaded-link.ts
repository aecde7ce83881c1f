// Connects to the coordinator from a separate thread, which answers heartbeats and receives messages while the engine
// blocks the session's thread, which on a slow machine may take longer than the heartbeat timeout. Large messages are
// transferred between the threads, not copied. serve-link.ts is the other thread's side.
import type { CoordinatorLink, LinkHandlers, LinkHeartbeat } from './coordinator-link.js';

/** Message to the connection's thread. */
export type LinkCommand =
  | { type: 'send'; frame: Uint8Array }
  | { type: 'send-and-return'; frame: Uint8Array<ArrayBuffer>; id: number; reuse: readonly ArrayBuffer[] }
  | { type: 'heartbeat'; options: LinkHeartbeat }
  | { type: 'close'; code: number };

/** Message from the connection's thread. */
export type LinkEvent =
  | { type: 'open' }
  | { type: 'message'; message: Uint8Array }
  | { type: 'sent'; id: number; memory: ArrayBuffer }
  | { type: 'closed'; reason: string; isFinal: boolean };

export interface LinkThread {
  post(command: LinkCommand, transferred: ArrayBuffer[]): void;
}

/**
 * Starts a thread that opens a connection.
 * @param onEnded called when the thread fails or ends, whether or not the connection has been closed
 */
export type StartLinkThread = (onEvent: (event: LinkEvent) => void, onEnded: (reason: string) => void) => LinkThread;

export class ThreadedLink implements CoordinatorLink {
  readonly #thread: LinkThread;
  readonly #onSent = new Map<number, (memory: ArrayBuffer) => void>();
  /** Memory to pass to the thread with the next large frame. */
  readonly #unused: ArrayBuffer[] = [];
  #lastId = 0;

  constructor(startThread: StartLinkThread, handlers: LinkHandlers) {
    let closed: LinkHandlers['onClosed'] | undefined = handlers.onClosed;
    const close = (reason: string, isFinal = false) => {
      closed?.(reason, isFinal);
      closed = undefined;
    };
    const handle = (event: LinkEvent) => {
      switch (event.type) {
        case 'open':
          return handlers.onOpen();
        case 'message':
          return handlers.onMessage(event.message);
        case 'sent':
          this.#onSent.get(event.id)!(event.memory);
          this.#onSent.delete(event.id);
          return;
        case 'closed':
          return close(event.reason, event.isFinal);
        default:
          event satisfies never;
      }
    };
    this.#thread = startThread(handle, close);
  }

  send(frame: Uint8Array): void {
    this.#thread.post({ type: 'send', frame }, []);
  }

  sendAndReturn(frame: Uint8Array<ArrayBuffer>, onSent: (memory: ArrayBuffer) => void): void {
    const id = ++this.#lastId;
    this.#onSent.set(id, onSent);
    const reuse = this.#unused.splice(0);
    this.#thread.post({ type: 'send-and-return', frame, id, reuse }, [frame.buffer, ...reuse]);
  }

  reuse(memory: ArrayBuffer): void {
    // The thread needs it for the next weights, which arrive after the next partial sum has been sent.
    this.#unused.push(memory);
  }

  startHeartbeat(options: LinkHeartbeat): void {
    this.#thread.post({ type: 'heartbeat', options }, []);
  }

  close(code: number): void {
    this.#thread.post({ type: 'close', code }, []);
  }
}
