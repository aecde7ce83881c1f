// What a command that waits for workers prints: how to start them. The user replaces the text in angle brackets.
import type { AccessOptions } from '../../coordinator/connections/access-policy.js';
import { isLoopback } from '../../coordinator/connections/http-access.js';

interface ListeningAddress {
  url: string;
  host: string;
  port: number;
}

export function describeListening(address: ListeningAddress, access: AccessOptions): string[] {
  return [`listening on ${address.host}:${address.port}; start workers with:`, `  ${workerCommand(address, access)}`];
}

export function workerCommand({ url, host, port }: ListeningAddress, access: AccessOptions): string {
  const { token, tokenFile, tlsCert, tlsClientCa } = access;
  const scheme = tlsCert === undefined ? 'ws' : 'wss';
  const parts = [
    ...((token ?? tokenFile) === undefined ? [] : ['LOCKSTEP_TOKEN=<token>']),
    `lockstep worker ${isLoopback(host) ? url : `${scheme}://<this machine's address>:${port}`}`,
    // Unnecessary for a certificate from a public CA, which few machines that train have.
    ...(tlsCert === undefined ? [] : ['--tls-ca <FILE>']),
    ...(tlsClientCa === undefined ? [] : ['--tls-cert <FILE> --tls-key <FILE>']),
  ];
  return parts.join(' ');
}
