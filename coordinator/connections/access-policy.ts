// Who may come in: where the port is, the tokens that it knows, and its certificate. Opens no port.
import type { Clock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import { isLoopback } from './http-access.js';
import { ServerTls, type ServerTlsFiles } from './server-tls.js';
import { TokenFile } from './token-file.js';
import { TokenTable } from './tokens.js';

/** Where workers may come in, and with what. */
export interface AccessOptions extends ServerTlsFiles {
  /** Where to listen: 127.0.0.1 unless said. Any other than a loopback address needs a token. */
  host?: string | undefined;
  /** 7350 unless said; 0 for any free port. */
  port?: number | undefined;
  /** An owner's token: who shows it may join, read and operate the run. */
  token?: string | undefined;
  /** A token that allows to join and nothing else, where there is no other. */
  workersToken?: string | undefined;
  /** A file of tokens with a name and a role each, instead of `token`; read again when it changes. See tokens.ts. */
  tokenFile?: string | undefined;
}

/** The tokens that a door knows, at any moment, and its certificate. */
export interface AccessPolicy {
  tokens: () => TokenTable;
  tls: ServerTls | undefined;
  /** Reads a token file again when it changes, until the returned function is called. */
  watch(clock: Clock, onChange: (message: string) => void): () => void;
}

/** Throws `bad-option` for an address that others can reach without a token, or a file that is not what it should be. */
export function openAccessPolicy(options: AccessOptions): AccessPolicy {
  const { host = '127.0.0.1', token, tokenFile, workersToken } = options;
  const source = tokenFile === undefined ? undefined : new TokenFile(tokenFile);
  const workersTable = workersToken === undefined ? TokenTable.none : TokenTable.ofWorkers(workersToken);
  const given = token === undefined || token === '' ? workersTable : TokenTable.ofOwner(token);
  const tokens = () => source?.table ?? given;
  if (!isLoopback(host) && tokens().isEmpty) {
    throw new LockstepError(
      'bad-option',
      `--host is ${host}, which others can reach: give a token that workers must show (LOCKSTEP_TOKEN or --token-file)`,
    );
  }
  const tls = ServerTls.of(options);
  return { tokens, tls, watch: (clock, onChange) => source?.watch(clock, onChange) ?? (() => undefined) };
}
