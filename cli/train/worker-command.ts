// Instructions for starting workers, printed by commands that wait for them. Users replace the text in angle brackets.
import type { AccessOptions } from '../../coordinator/connections/access-policy.js';
import { isLoopback } from '../../coordinator/connections/http/http-access.js';

interface ListeningAddress {
  url: string;
  host: string;
  port: number;
  /** The http or https URL by which others reach the port. */
  publicUrl?: string | undefined;
}

export function describeListening(address: ListeningAddress, access: AccessOptions): string[] {
  return [`listening on ${address.host}:${address.port}; start workers with:`, `  ${workerCommand(address, access)}`];
}

export function workerCommand({ url, host, port, publicUrl }: ListeningAddress, access: AccessOptions): string {
  const { token, tokenFile, tlsCert, tlsClientCa } = access;
  const scheme = tlsCert === undefined ? 'ws' : 'wss';
  const privateUrl = isLoopback(host) ? url : `${scheme}://<this machine's address>:${port}`;
  const parts = [
    ...((token ?? tokenFile) === undefined ? [] : ['LOCKSTEP_TOKEN=<token>']),
    `lockstep worker ${publicUrl?.replace(/^http/, 'ws') ?? privateUrl}`,
    // Not needed if a public CA issued the certificate, which is rare on a private network.
    ...(tlsCert === undefined ? [] : ['--tls-ca <FILE>']),
    ...(tlsClientCa === undefined ? [] : ['--tls-cert <FILE> --tls-key <FILE>']),
  ];
  return parts.join(' ');
}
