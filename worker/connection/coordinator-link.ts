// The interface between a session and its connection to the coordinator. The socket runs in the same thread
// (socket-link.ts) or in a separate one (threaded-link.ts).
import type { HeartbeatOptions } from '../../shared/protocol/heartbeats/exchange.js';

/** Timeout for opening the connection, and then for the reply to the hello. */
export const handshakeTimeoutMs = 10_000;
/** How long to wait for the coordinator to close its side before the connection counts as closed. */
export const closeTimeoutMs = 3_000;

export interface CoordinatorLink {
  /** Queues a frame, or drops it if the connection is closing. */
  send(frame: Uint8Array): void;
  /**
   * Like send, for a large frame. Its memory, to which the caller's views may no longer refer, belongs to the connection
   * until it has been sent.
   * @param onSent called with the memory
   */
  sendAndReturn(frame: Uint8Array<ArrayBuffer>, onSent: (memory: ArrayBuffer) => void): void;
  /** Allows receiving later messages into the memory of an earlier one, which the caller gives up. */
  reuse(memory: ArrayBuffer): void;
  /** Starts sending heartbeats, and closes the connection if nothing arrives within the timeout. */
  startHeartbeat(options: LinkHeartbeat): void;
  /** Closes the connection once the queued frames have been sent. */
  close(code: number): void;
}

export interface LinkHeartbeat extends HeartbeatOptions {
  /** Maximum size of a message from the coordinator, for links that see a message only once all of it has arrived. */
  maxMessageBytes: number;
}

export interface LinkHandlers {
  onOpen: () => void;
  /** @param message buffer whose ownership passes to the handler */
  onMessage: (message: Uint8Array) => void;
  /**
   * Called exactly once, whichever side closes the connection.
   * @param isFinal true if reconnecting cannot succeed until someone fixes the cause
   */
  onClosed: (reason: string, isFinal: boolean) => void;
}

/** Starts connecting. Errors are reported through `onClosed`. */
export type OpenLink = (handlers: LinkHandlers) => CoordinatorLink;
