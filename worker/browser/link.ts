// Entry point of the connection's thread in a browser. It has a thread of its own because Chromium reads no further
// messages while the thread of the socket computes. The first message is the URL.
import { systemClock } from '../../shared/clock.js';
import { serveLink } from '../connection/serve-link.js';
import type { LinkCommand } from '../connection/threaded-link.js';
import { WebSocketLink } from './web-socket-link.js';

self.addEventListener(
  'message',
  ({ data: url }: MessageEvent<string>) => {
    const receive = serveLink((handlers) => new WebSocketLink(url, handlers, systemClock), {
      post: (event, transferred) => self.postMessage(event, { transfer: transferred }),
      // The other thread ends this one.
      end: () => undefined,
    });
    self.addEventListener('message', ({ data }: MessageEvent<LinkCommand>) => receive(data));
  },
  { once: true },
);
