// Entry point of ThreadedLink's thread: owns the socket and forwards frames.
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../shared/clock.js';
import { collectYoungGeneration } from '../../shared/gc.js';
import { ownMemoryOf } from '../../shared/protocol/message-memory.js';
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
  return ownMemoryOf(message) === undefined ? new Uint8Array(message) : (message as Uint8Array<ArrayBuffer>);
}

const { url, tls } = workerData as LinkTarget;
const link = new SocketLink(
  url,
  {
    onOpen: () => emit({ type: 'open' }),
    onMessage(received) {
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
      const { frame, id, reuse } = command;
      for (const memory of reuse) link.reuse(memory);
      return link.send(frame, () => {
        emit({ type: 'sent', id });
        // With TLS, ws receives a message in chunks and then joins them.
        collectYoungGeneration();
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
