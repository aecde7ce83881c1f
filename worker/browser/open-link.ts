// Opens connections in a thread of their own.
import type { OpenLink } from '../connection/coordinator-link.js';
import { ThreadedLink, type LinkEvent } from '../connection/threaded-link.js';

/** @param url WebSocket URL of the coordinator, without a slash at its end */
export function linkTo(url: string): OpenLink {
  return (handlers) =>
    new ThreadedLink((onEvent, onEnded) => {
      const thread = new Worker(new URL('link.js', import.meta.url), { type: 'module' });
      thread.addEventListener('message', ({ data }: MessageEvent<LinkEvent>) => onEvent(data));
      thread.addEventListener('error', ({ message }) => onEnded(`the connection's thread failed: ${message}`));
      thread.postMessage(url);
      return { post: (command, transferred) => thread.postMessage(command, transferred) };
    }, handlers);
}
