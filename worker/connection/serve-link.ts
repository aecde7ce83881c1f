// Opens a connection in this thread for a ThreadedLink in another thread, and forwards messages between the two.
import { collectYoungGeneration } from '../../shared/gc.js';
import { ownMemoryOf } from '../../shared/protocol/own-memory.js';
import type { OpenLink } from './coordinator-link.js';
import type { LinkCommand, LinkEvent } from './threaded-link.js';

/** The port to the other thread. */
export interface LinkPort {
  post(event: LinkEvent, transferred: ArrayBuffer[]): void;
  /** Called when the connection has closed: ends this thread. */
  end(): void;
}

/** @returns a function to call with each command of the other thread */
export function serveLink(open: OpenLink, port: LinkPort): (command: LinkCommand) => void {
  const emit = (event: LinkEvent, ...transferred: ArrayBuffer[]) => port.post(event, transferred);
  const link = open({
    onOpen: () => emit({ type: 'open' }),
    onMessage(received) {
      const message = inOwnBuffer(received);
      emit({ type: 'message', message }, message.buffer);
    },
    onClosed(reason, isFinal) {
      emit({ type: 'closed', reason, isFinal });
      port.end();
    },
  });
  return (command) => {
    switch (command.type) {
      case 'send':
        return link.send(command.frame);
      case 'send-and-return': {
        const { frame, id, reuse } = command;
        for (const memory of reuse) link.reuse(memory);
        return link.sendAndReturn(frame, (memory) => {
          emit({ type: 'sent', id, memory }, memory);
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
  };
}

/**
 * Returns the message in a buffer of its own, which can be transferred. Copies a message that shares its buffer with
 * others, as small messages from ws do.
 */
function inOwnBuffer(message: Uint8Array): Uint8Array<ArrayBuffer> {
  return ownMemoryOf(message) === undefined ? new Uint8Array(message) : (message as Uint8Array<ArrayBuffer>);
}
