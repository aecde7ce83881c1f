// The thread of a ThreadedLink: owns the socket and forwards frames.
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../shared/clock.js';
import { collectYoungGeneration } from '../../shared/gc.js';
import { SocketLink } from './socket-link.js';
import type { LinkCommand, LinkEvent, LinkTarget } from './threaded-link.js';

const port = parentPort!;

function emit(event: LinkEvent, ...transferred: ArrayBuffer[]): void {
  port.postMessage(event, transferred);
}

/** Copies a message that shares its buffer with others, so that the buffer can be transferred. ws reads small ones that way. */
function inOwnBuffer(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const isWhole = message.byteLength === message.buffer.byteLength && message.buffer instanceof ArrayBuffer;
  return isWhole ? (message as Uint8Array<ArrayBuffer>) : new Uint8Array(message);
}

const { url, tls } = workerData as LinkTarget;
/** Since the last frame was sent. */
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
        // ws received each message in fragments and joined them, so twice its size is garbage.
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
