// Opens connections to a coordinator in Node, in this thread or in a separate one.
import type { Clock } from '../../shared/clock.js';
import { assertEncryptedUrl, readClientTls, type ClientTlsFiles } from '../../shared/protocol/client-tls.js';
import type { OpenLink } from './coordinator-link.js';
import { linkThreadTo } from './start-link-thread.js';
import { ThreadedLink } from './threaded-link.js';

export interface LinkOptions extends ClientTlsFiles {
  /** Whether each connection runs in a separate thread. True by default. */
  connectionThread?: boolean | undefined;
}

/** Returns a function that opens connections. Throws `bad-option` if the TLS files cannot be used. */
export async function linkOpener(url: string, options: LinkOptions, clock: Clock): Promise<OpenLink> {
  let tls = readClientTls(options);
  assertEncryptedUrl(tls, url);
  // Normally only the connection thread needs ws and Node's HTTP modules, which take long to load.
  const direct = options.connectionThread === false ? await import('./socket-link.js') : undefined;
  return (handlers) => {
    try {
      // Read the files again for each connection, because the certificates may have been renewed.
      tls = readClientTls(options);
    } catch {
      // Files may be missing or inconsistent during a renewal: keep using the previous ones.
    }
    return direct
      ? new direct.SocketLink(url, handlers, clock, tls)
      : new ThreadedLink(linkThreadTo(url, tls), handlers);
  };
}
