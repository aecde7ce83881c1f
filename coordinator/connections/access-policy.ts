// Access to the coordinator: the address to listen on, tokens, and TLS certificates. Opens no port.
import type { Clock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import { isLoopback } from './http-access.js';
import { ServerTls, type ServerTlsFiles } from './server-tls.js';
import { TokenFile } from './token-file.js';
import { TokenTable } from './tokens.js';

export const defaultPort = 7350;

/** Address to listen on, and the credentials that clients must present. */
export interface AccessOptions extends ServerTlsFiles {
  /** Address to listen on; 127.0.0.1 by default. Any address other than loopback requires a token. */
  host?: string | undefined;
  /** Port to listen on; 7350 by default, 0 for any free port. */
  port?: number | undefined;
  /** The owner's token: it allows joining, reading the status and controlling the run. */
  token?: string | undefined;
  /** A token that allows joining only; used if no other token is configured. */
  workersToken?: string | undefined;
  /**
   * File of tokens, each with a name and a role; reloaded when it changes. If set, `token` and `workersToken` are
   * ignored. See tokens.ts.
   */
  tokenFile?: string | undefined;
}

/** Address to listen on, current tokens, and TLS certificate. */
export interface AccessPolicy {
  host: string;
  port: number;
  tokens: () => TokenTable;
  tls: ServerTls | undefined;
  /** Reloads the token file when it changes, until the returned function is called. */
  watch(clock: Clock, onChange: (message: string) => void): () => void;
}

/**
 * Resolves the options, and loads the token file and the certificates. Throws `bad-option` if other machines could
 * reach the port without a token, or if a file is unusable.
 */
export function openAccessPolicy(options: AccessOptions): AccessPolicy {
  const { host = '127.0.0.1', port = defaultPort, token, tokenFile, workersToken } = options;
  const file = tokenFile === undefined ? undefined : new TokenFile(tokenFile);
  const workersTable = workersToken === undefined ? TokenTable.none : TokenTable.ofWorkers(workersToken);
  const fixed = token === undefined || token === '' ? workersTable : TokenTable.ofOwner(token);
  const tokens = () => file?.table ?? fixed;
  if (!isLoopback(host) && tokens().isEmpty) {
    throw new LockstepError(
      'bad-option',
      `\`host\` is ${host}, which other machines can reach: set a token that workers must present (LOCKSTEP_TOKEN or \`tokenFile\`)`,
    );
  }
  const tls = ServerTls.of(options);
  return { host, port, tokens, tls, watch: (clock, onChange) => file?.watch(clock, onChange) ?? (() => undefined) };
}
