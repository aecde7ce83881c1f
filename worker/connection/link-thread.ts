// Entry point of ThreadedLink's thread: owns the socket and forwards frames.
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../shared/clock.js';
import { collectYoungGeneration } from '../../shared/gc.js';
import { SocketLink } from './socket-link.js';
import type { LinkCommand, LinkEvent, LinkTarget } from './threaded-link.js';

const port = parentPort!;

function emit(event: LinkEvent, ...transferred: ArrayBuffer[]): void {
  port.postMessage(event, transferred);
}

/**
 * Returns the message in a buffer of its own, which can be transferred. Copies a message that shares its buffer with
 * others, as small messages from ws do.
 */
function inOwnBuffer(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const isWhole = message.byteLength === message.buffer.byteLength && message.buffer instanceof ArrayBuffer;
  return isWhole ? (message as Uint8Array<ArrayBuffer>) : new Uint8Array(message);
}

const { url, tls } = workerData as LinkTarget;
/** Bytes received since the last frame was sent. */
let receivedBytes = 0;
const link = new SocketLink(
  url,
  {
    onOpen: () => emit({ type: 'open' }),
    onMessage(received) {
      receivedBytes += received.byteLength;
      const message = inOwnBuffer(received);
      emit({ type: 'message', message }, message.buffer);
    },
    onClosed(reason, isFinal) {
      emit({ type: 'closed', reason, isFinal });
      port.close();
    },
  },
  systemClock,
  tls,
);

port.on('message', (command: LinkCommand) => {
  switch (command.type) {
    case 'send': {
      const { frame, id } = command;
      return link.send(frame, () => {
        emit({ type: 'sent', id });
        // ws receives a message in chunks and then joins them, so each message leaves garbage of twice its size.
        collectYoungGeneration(2 * receivedBytes);
        receivedBytes = 0;
      });
    }
    case 'heartbeat':
      return link.startHeartbeat(command.options);
    case 'close':
      return link.close(command.code);
    default:
      command satisfies never;
  }
});
