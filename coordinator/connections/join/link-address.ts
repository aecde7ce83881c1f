// The address of a join link: that of the coordinator, with the token in the fragment.
import { networkInterfaces } from 'node:os';
import { isLoopback } from '../http/http-access.js';
import { publicUrlText } from '../http/public-url.js';

/** Address that a coordinator listens on. */
export interface ListeningAddress {
  host: string;
  port: number;
  usesTls: boolean;
}

/**
 * Returns the http or https URL by which browsers reach the coordinator, without a slash at the end. If it listens on all
 * addresses and has no public URL, this is the first one of this machine that others can reach.
 */
export function browserUrl(publicUrl: URL | undefined, { host, port, usesTls }: ListeningAddress): string {
  if (publicUrl !== undefined) return publicUrlText(publicUrl);
  const reachable = listensOnAll(host) ? (firstAddress() ?? '127.0.0.1') : host;
  return `${usesTls ? 'https' : 'http'}://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

/** Whether a coordinator listens on all addresses of this machine. */
export function listensOnAll(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/** Returns the first IPv4 address of this machine that is not loopback; undefined if it has none. */
function firstAddress(): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses);
  return addresses.find(({ family, internal, address }) => family === 'IPv4' && !internal && !isLoopback(address))
    ?.address;
}
