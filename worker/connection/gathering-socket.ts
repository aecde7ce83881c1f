// A TCP socket that reads large WebSocket payloads into the memory that they stay in. See payload-gatherer.ts.
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import { PayloadGatherer, type TakeMemory } from '../../shared/protocol/payload-gatherer.js';

/** Size of the memory for everything that arrives outside a large payload. */
const scratchBytes = 64 * 1024;

/**
 * Starts connecting.
 * @param options options of an HTTP request
 * @param onBytes called whenever data arrives, even if it completes no message
 */
export function connectGathering(options: object, takeMemory: TakeMemory, onBytes: () => void): Socket {
  const scratch = Buffer.alloc(scratchBytes);
  const gatherer = new PayloadGatherer('http', takeMemory);
  /** Passes on what has been read. @returns whether to continue reading */
  const received = (bytes: number, memory: Uint8Array): boolean => {
    onBytes();
    if (memory !== scratch) {
      const payload = gatherer.filled(bytes);
      return payload === undefined || socket.push(payload);
    }
    let continues = true;
    for (const piece of gatherer.receive(scratch.subarray(0, bytes))) {
      // The next read overwrites the scratch memory.
      continues = socket.push(piece.buffer === scratch.buffer ? Buffer.from(piece) : piece);
    }
    return continues;
  };
  const socket: Socket = connect({
    ...options,
    // The request's path, which `connect` would take for that of a Unix socket.
    path: undefined,
    onread: { buffer: () => gatherer.target ?? scratch, callback: received },
  } as unknown as TcpNetConnectOpts);
  return socket;
}
