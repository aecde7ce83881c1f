// Pages for browsers, which the port serves beside its own routes.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

export interface ServedPages {
  /** @returns true if the request is for these pages; the response may then be sent after this method has returned */
  answer(request: IncomingMessage, response: ServerResponse): boolean;
  /**
   * @returns `taken` if the socket was taken over, `not mine` if the request is not for these pages, or why it is
   * refused
   */
  upgrade?(request: IncomingMessage, socket: Duplex, head: Buffer): 'taken' | 'not mine' | UpgradeRefusal;
  /** Closes the sockets that were taken over, after all pending data has been sent. */
  close?(): Promise<void>;
}

export interface UpgradeRefusal {
  /** HTTP status line without the version, for example `403 Forbidden`. */
  status: string;
  reason: string;
}
