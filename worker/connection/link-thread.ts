// Entry point of the connection's thread in Node.
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../shared/clock.js';
import { serveLink } from './serve-link.js';
import { SocketLink } from './socket-link.js';
import type { LinkTarget } from './start-link-thread.js';

const port = parentPort!;
const { url, tls } = workerData as LinkTarget;
port.on(
  'message',
  serveLink((handlers) => new SocketLink(url, handlers, systemClock, tls), {
    post: (event, transferred) => port.postMessage(event, transferred),
    end: () => port.close(),
  }),
);
