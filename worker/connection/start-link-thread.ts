// Starts the connection's thread in Node.
import { Worker } from 'node:worker_threads';
import { builtFile } from '../../shared/built-file.js';
import type { ClientTls } from '../../shared/protocol/client-tls.js';
import type { StartLinkThread } from './threaded-link.js';

export interface LinkTarget {
  url: string;
  tls: ClientTls;
}

/** Returns a function that starts a thread with a connection to this URL. */
export function linkThreadTo(url: string, tls: ClientTls = {}): StartLinkThread {
  return (onEvent, onEnded) => {
    const thread = new Worker(builtFile('link-thread.js', import.meta.url), {
      workerData: { url, tls } satisfies LinkTarget,
    });
    thread.on('message', onEvent);
    thread.on('error', (error) => onEnded(`the connection's thread failed: ${String(error)}`));
    thread.on('exit', () => onEnded("the connection's thread ended"));
    return { post: (command, transferred) => thread.postMessage(command, transferred) };
  };
}
