// A port that nobody listens on, for processes that must be told theirs before they start, or come back to it.
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below those that a system hands out by itself: nobody who asks for any port is given one of these meanwhile. */
const [first, count] = [10_000, 20_000];
let asked = 0;

/** Of 127.0.0.1. Other processes that ask here at the same time are told others. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + ((97 * process.pid + asked++) % count);
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
