// Finds free ports for processes whose port must be known in advance, or that must listen on the same port again.
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Ports below the ephemeral range, which the system never assigns to a process that listens on port 0. */
const [first, count] = [10_000, 20_000];
let attempts = 0;

/** Returns a free port on 127.0.0.1. Each process starts its search at a different port, to avoid collisions. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + ((97 * process.pid + attempts++) % count);
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}
