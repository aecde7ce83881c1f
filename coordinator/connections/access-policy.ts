// Who may connect to the coordinator: its address, its tokens, and its certificate. Opens no port.
import type { Clock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import { isLoopback } from './http-access.js';
import { ServerTls, type ServerTlsFiles } from './server-tls.js';
import { TokenFile } from './token-file.js';
import { TokenTable } from './tokens.js';

export const defaultPort = 7350;

/** The address of the port, and what a client must present. */
export interface AccessOptions extends ServerTlsFiles {
  /** Address to listen on; 127.0.0.1 by default. Any address but loopback needs a token. */
  host?: string | undefined;
  /** 7350 by default; 0 for any free port. */
  port?: number | undefined;
  /** The owner's token: it allows joining, reading the status and controlling the run. */
  token?: string | undefined;
  /** A token that allows joining only, used if there is no other. */
  workersToken?: string | undefined;
  /** A file of tokens with a name and a role each, instead of `token`; read again when it changes. See tokens.ts. */
  tokenFile?: string | undefined;
}

/** The port's address, its current tokens, and its certificate. */
export interface AccessPolicy {
  host: string;
  port: number;
  tokens: () => TokenTable;
  tls: ServerTls | undefined;
  /** Reads the token file again when it changes, until the returned function is called. */
  watch(clock: Clock, onChange: (message: string) => void): () => void;
}

/** Throws `bad-option` for an address that other machines can reach without a token, and for unusable files. */
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
