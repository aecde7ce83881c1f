// The seam between a session and its connection to the coordinator: frames out, frames in, and the end of it.
// A connection lives in this thread (socket-link.ts) or in a thread of its own (threaded-link.ts).

/**
 * No message is longer. A worker does not know the model before the welcome; until then this alone bounds one. Weights of
 * 64 million parameters.
 */
export const maxMessageBytes = 256 * 1024 * 1024;

export interface CoordinatorLink {
  /**
   * Queues a frame; one that cannot leave any more is dropped.
   * @param onSent called when the frame has left: its memory may be written to again
   */
  send(frame: Uint8Array, onSent?: () => void): void;
  /** From now on pings the other side, and ends where nothing at all was heard from it for too long. */
  watch(silence: HeartbeatOptions): void;
  /** Closes once what was sent has left. */
  close(code: number): void;
  /** Closes at once. */
  terminate(): void;
}

export interface LinkHandlers {
  onOpen: () => void;
  /** The message's memory is the handler's. */
  onMessage: (message: Uint8Array) => void;
  /**
   * Called once, whoever ended it.
   * @param isFinal whether knocking again would not help, before somebody mends the reason
   */
  onClosed: (reason: string, isFinal: boolean) => void;
}

export interface HeartbeatOptions {
  heartbeatIntervalMs: number;
  heartbeatTimeoutMs: number;
}

/** Opens a connection to ws://HOST:PORT; errors come as its end. */
export type OpenLink = (url: string, handlers: LinkHandlers) => CoordinatorLink;
