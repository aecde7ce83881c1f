// Opens connections in a thread of their own.
import { systemClock } from '../../shared/clock.js';
import { handshakeTimeoutMs, type OpenLink } from '../connection/coordinator-link.js';
import { ThreadedLink, type LinkEvent } from '../connection/threaded-link.js';

/** Time in which a thread must have connected or failed. Its script comes over the network, which may be gone. */
const firstEventTimeoutMs = handshakeTimeoutMs + 5_000;

/** @param url WebSocket URL of the coordinator, without a slash at its end */
export function linkTo(url: string): OpenLink {
  return (handlers) =>
    new ThreadedLink((onEvent, onEnded) => {
      const thread = new Worker(new URL('link.js', import.meta.url), { type: 'module' });
      const fail = (problem: string) => {
        stopWaiting();
        thread.terminate();
        onEnded(`the connection's thread ${problem}`);
      };
      const stopWaiting = systemClock.after(firstEventTimeoutMs, () => fail('did not start'));
      thread.addEventListener('message', ({ data }: MessageEvent<LinkEvent>) => {
        stopWaiting();
        onEvent(data);
        // The thread does not end itself, so that nothing that it has sent can be lost.
        if (data.type === 'closed') thread.terminate();
      });
      thread.addEventListener('error', ({ message }) => fail(`failed: ${message}`));
      thread.postMessage(url);
      return { post: (command, transferred) => thread.postMessage(command, transferred) };
    }, handlers);
}
