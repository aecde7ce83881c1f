// The exchange benchmark's plain side: TCP in Node.js without framing, checks or recovery. The coordinator reads each
// gradient into memory that it keeps, and adds them up with the same loop as Lockstep, in order of arrival.
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { addInto } from '../../shared/reduction/slices.js';
import { endAll, forkWorker, type Exchange } from './exchange-processes.js';

/** Starts workers. Each reads the weights, and answers with a gradient of the same number of bytes. */
export async function startPlain(bytes: number, workerCount: number): Promise<Exchange> {
  const sockets: Socket[] = [];
  const server = createServer({ noDelay: true }, (socket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const children = Array.from({ length: workerCount }, () => forkWorker('plain', String(port), String(bytes)));
  while (sockets.length < workerCount) await once(server, 'connection');
  const weights = Buffer.alloc(bytes);
  const gradients = sockets.map(() => new Float32Array(bytes / Float32Array.BYTES_PER_ELEMENT));
  return {
    async step() {
      let sum: Float32Array | undefined;
      await Promise.all(
        sockets.map(async (socket, index) => {
          socket.write(weights);
          await fill(Buffer.from(gradients[index].buffer), socket);
          if (sum === undefined) sum = gradients[index];
          else addInto(sum, gradients[index]);
        }),
      );
    },
    async close() {
      await endAll(children);
      server.close();
    },
  };
}

/** Reads until the memory is full. */
function fill(memory: Buffer, socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    let received = 0;
    const onData = (chunk: Buffer) => {
      memory.set(chunk, received);
      received += chunk.length;
      if (received < memory.length) return;
      socket.off('data', onData);
      resolve();
    };
    socket.on('data', onData);
  });
}
