// The interface between a session and its connection to the coordinator. The socket is in this thread (socket-link.ts)
// or in a thread of its own (threaded-link.ts).

/** Limit for a message from the coordinator, and the only one before the welcome: enough for 64 million weights. */
export const maxMessageBytes = 256 * 1024 * 1024;

export interface CoordinatorLink {
  /**
   * Queues a frame. Drops it if the connection is closing.
   * @param onSent called when the frame's memory may be reused
   */
  send(frame: Uint8Array, onSent?: () => void): void;
  /** Sends pings from now on, and closes the connection if nothing arrives for too long. */
  startHeartbeat(options: HeartbeatOptions): void;
  /** Closes the connection once the queued frames have been sent. */
  close(code: number): void;
}

export interface LinkHandlers {
  onOpen: () => void;
  /** @param message owned by the handler from now on */
  onMessage: (message: Uint8Array) => void;
  /**
   * Called once, whichever side closed the connection.
   * @param isFinal whether reconnecting cannot help until someone fixes the reason
   */
  onClosed: (reason: string, isFinal: boolean) => void;
}

export interface HeartbeatOptions {
  intervalMs: number;
  timeoutMs: number;
}

/** Starts connecting. Errors are reported through `onClosed`. */
export type OpenLink = (handlers: LinkHandlers) => CoordinatorLink;
