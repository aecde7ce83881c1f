// The command that starts a worker for a coordinator, as it is shown to whoever started the coordinator. Pure.
import { isLoopback } from '../../coordinator/connections/http-access.js';
import type { ServerTlsFiles } from '../../coordinator/connections/server-tls.js';

/** What a person has to put in stands in angle brackets. */
export function workerCommand(
  { url, host, port }: { url: string; host: string; port: number },
  tokens: { token?: string | undefined; tokenFile?: string | undefined },
  { tlsCert, tlsClientCa }: ServerTlsFiles,
): string {
  const scheme = tlsCert === undefined ? 'ws' : 'wss';
  const to = isLoopback(host) ? url : `${scheme}://<this machine's address>:${port}`;
  const parts = [
    ...((tokens.token ?? tokens.tokenFile) === undefined ? [] : ['LOCKSTEP_TOKEN=<token>']),
    `lockstep worker ${to}`,
    // Not needed for a certificate that everybody trusts, which few machines that train have.
    ...(tlsCert === undefined ? [] : ['--tls-ca <FILE>']),
    ...(tlsClientCa === undefined ? [] : ['--tls-cert <FILE> --tls-key <FILE>']),
  ];
  return parts.join(' ');
}
