// Tokens and TLS, for commands that connect to a coordinator and for commands that listen for workers.
import { Option, type Command } from 'commander';
import type { AccessOptions } from '../../coordinator/connections/access-policy.js';
import type { ServerTlsFiles } from '../../coordinator/connections/server-tls.js';
import { readTokenFile } from '../../coordinator/connections/token-file.js';
import { onlyTokenIn } from '../../coordinator/connections/tokens.js';
import { LockstepError } from '../../shared/errors.js';
import {
  assertEncryptedUrl,
  readClientTls,
  type ClientTls,
  type ClientTlsFiles,
} from '../../shared/protocol/client-tls.js';
import { wholeNumberOption } from './number-options.js';

type TokenOptionValues = Pick<AccessOptions, 'token' | 'tokenFile'>;

/** Adds options for the token and TLS to a command that connects to a coordinator. */
export function addClientAccessOptions(command: Command): Command {
  return addTokenOptions(
    command,
    'access token; required if the coordinator was started with one',
    'file that contains the token',
  )
    .optionsGroup('TLS (wss:// and https:// URLs; PEM files):')
    .option('--tls-ca <FILE>', "CA certificates to trust for the coordinator's certificate, instead of the system's")
    .option('--tls-cert <FILE>', 'client certificate, for a coordinator that requires one')
    .option('--tls-key <FILE>', 'private key of --tls-cert');
}

/** Adds options for the tokens that a coordinator accepts. */
export function addServerTokenOptions(command: Command): Command {
  return addTokenOptions(
    command,
    'access token with all rights: joining as a worker, reading the status and controlling the run',
    'file with one access token per line: NAME ROLE TOKEN, where ROLE is worker (joins), viewer (reads the status), operator ' +
      '(also controls the run) or owner (all rights)',
  );
}

/** Adds options for tokens and TLS to a command that listens for workers. The command adds --host and --port itself. */
export function addServerAccessOptions(command: Command): Command {
  return addServerTokenOptions(command)
    .optionsGroup('TLS (PEM files):')
    .option('--tls-cert <FILE>', 'serve TLS (wss, https) with this certificate; reloaded when the file changes')
    .option('--tls-key <FILE>', 'private key of --tls-cert')
    .option('--tls-client-ca <FILE>', 'require a client certificate signed by this CA');
}

function addTokenOptions(command: Command, token: string, tokenFile: string): Command {
  return command
    .optionsGroup('Access:')
    .addOption(
      new Option('--token <TOKEN>', `${token} (prefer LOCKSTEP_TOKEN: other users can see command-line arguments)`).env(
        'LOCKSTEP_TOKEN',
      ),
    )
    .option('--token-file <FILE>', `${tokenFile} (overrides LOCKSTEP_TOKEN)`);
}

export function waitTimeoutOption(description: string): Option {
  return wholeNumberOption('--wait-timeout <SECONDS>', `${description} (default: wait forever)`, 1, 2_000_000);
}

/** Throws `bad-option` if both --token and --token-file are given. */
export function readServerOptions(command: Command): AccessOptions & { waitTimeoutMs: number | undefined } {
  const { host, port, waitTimeout, tlsCert, tlsKey, tlsClientCa } = command.opts<ServerOptionValues>();
  return {
    host,
    port,
    waitTimeoutMs: waitTimeout === undefined ? undefined : 1000 * waitTimeout,
    ...readServerTokens(command),
    tlsCert,
    tlsKey,
    tlsClientCa,
  };
}

/** Throws `bad-option` if both --token and --token-file are given. */
export function readServerTokens(command: Command): TokenOptionValues {
  const { token, tokenFile } = readTokenOptions(command);
  return tokenFile === undefined ? { token } : { tokenFile };
}

export interface ServerOptionValues extends ServerTlsFiles {
  host?: string;
  port?: number;
  waitTimeout?: number;
}

/** Throws `bad-option` if both --token and --token-file are given, or the file does not contain exactly one token. */
export function readClientToken(command: Command): string | undefined {
  const { token, tokenFile } = readTokenOptions(command);
  return tokenFile === undefined ? token : onlyTokenIn(readTokenFile(tokenFile), tokenFile);
}

/**
 * Returns the token and TLS settings for HTTP requests to a coordinator. Throws the same errors as readClientToken, and
 * `bad-option` if the TLS files cannot be used with this URL.
 */
export function readCredentials(
  command: Command,
  url: string | undefined,
): { token?: string | undefined; tls: ClientTls } {
  const tls = readClientTls(command.opts<ClientTlsFiles>());
  if (url !== undefined) assertEncryptedUrl(tls, url);
  return { token: readClientToken(command), tls };
}

function readTokenOptions(command: Command): TokenOptionValues {
  const { token, tokenFile, quiet } = command.opts<TokenOptionValues & { quiet?: true }>();
  if (command.getOptionValueSource('token') === 'cli') {
    if (tokenFile !== undefined) {
      throw new LockstepError('bad-option', `--token and --token-file ${tokenFile} are both given: give only one`);
    }
    // Hides the token from the process list, which every user of the machine can read: Node.js overwrites the arguments
    // in memory with the title.
    process.title = `lockstep ${command.name()}`;
    if (!quiet) {
      process.stderr.write(
        'lockstep: warning: --token was visible in the process list to other users of this machine: use LOCKSTEP_TOKEN or ' +
          '--token-file\n',
      );
    }
  }
  return { token, tokenFile };
}
