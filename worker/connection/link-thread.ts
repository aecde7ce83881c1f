// The connection's own thread: holds the socket and passes frames on. See threaded-link.ts.
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../shared/clock.js';
import { collectYoungGeneration } from '../../shared/gc.js';
import { SocketLink } from './socket-link.js';
import type { LinkEvent, LinkOrder, LinkTarget } from './threaded-link.js';

const port = parentPort!;

function tell(event: LinkEvent, ...handedOver: ArrayBuffer[]): void {
  port.postMessage(event, handedOver);
}

/** A message in memory of its own, which can be handed over; ws hands out small ones as parts of what it read. */
function inOwnMemory(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const isWhole = message.byteLength === message.buffer.byteLength && message.buffer instanceof ArrayBuffer;
  return isWhole ? (message as Uint8Array<ArrayBuffer>) : new Uint8Array(message);
}

const { url, tls } = workerData as LinkTarget;
/** Since the last answer has left. */
let receivedBytes = 0;
const link = new SocketLink(
  url,
  {
    onOpen: () => tell({ type: 'open' }),
    onMessage(received) {
      receivedBytes += received.byteLength;
      const message = inOwnMemory(received);
      tell({ type: 'message', message }, message.buffer);
    },
    onClosed(reason, isFinal) {
      tell({ type: 'closed', reason, isFinal });
      port.close();
    },
  },
  systemClock,
  tls,
);

port.on('message', (order: LinkOrder) => {
  switch (order.type) {
    case 'send': {
      const { frame, id } = order;
      return link.send(
        frame,
        id === undefined
          ? undefined
          : () => {
              tell({ type: 'sent', id });
              // Messages came in shards, and were put together.
              collectYoungGeneration(2 * receivedBytes);
              receivedBytes = 0;
            },
      );
    }
    case 'watch':
      return link.watch(order.silence);
    case 'close':
      return link.close(order.code);
    case 'terminate':
      return link.terminate();
    default:
      order satisfies never;
  }
});
