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

const tokenLine =
  'NAME ROLE TOKEN, where ROLE is worker (joins), relay (joins as a worker or a relay), viewer (reads the status), operator ' +
  '(also controls the run) or owner (all rights)';
const caDescription = "CA certificates to trust for the coordinator's certificate, instead of the system's";
const clientCaDescription = 'require a client certificate signed by this CA';

/** Adds options for the token and TLS to a command that connects to a coordinator. */
export function addClientAccessOptions(command: Command): Command {
  return addTokenOptions(
    command,
    'access token; required if the coordinator was started with one',
    'file that contains the token',
  )
    .optionsGroup('TLS (wss:// and https:// URLs; PEM files):')
    .option('--tls-ca <FILE>', caDescription)
    .option('--tls-cert <FILE>', 'client certificate, for a coordinator that requires one')
    .option('--tls-key <FILE>', 'private key of --tls-cert');
}

/** Adds options for the tokens that a coordinator accepts. */
export function addServerTokenOptions(command: Command): Command {
  return addTokenOptions(
    command,
    'access token with all rights: joining as a worker, reading the status and controlling the run',
    `file with one access token per line: ${tokenLine}`,
  );
}

/** Adds options for tokens and TLS to a command that listens for workers. The command adds --host and --port itself. */
export function addServerAccessOptions(command: Command): Command {
  return addServerTokenOptions(command)
    .optionsGroup('TLS (PEM files):')
    .option('--tls-cert <FILE>', 'serve TLS (wss, https) with this certificate; reloaded when the file changes')
    .option('--tls-key <FILE>', 'private key of --tls-cert')
    .option('--tls-client-ca <FILE>', clientCaDescription);
}

/** Adds options for tokens and TLS to a command that listens for workers and connects to a coordinator. */
export function addRelayAccessOptions(command: Command): Command {
  return command
    .optionsGroup('Access:')
    .addOption(
      tokenOption(
        "the relay's access token for the coordinator, of the role relay or owner; workers must present it to the relay, unless " +
          '--token-file is given',
      ),
    )
    .option('--token-file <FILE>', `file with the access tokens of the relay's workers, one per line: ${tokenLine}`)
    .optionsGroup('TLS (PEM files):')
    .option('--tls-ca <FILE>', caDescription)
    .option(
      '--tls-cert <FILE>',
      'serve TLS (wss) with this certificate, and present it to a coordinator that requires one; reloaded when the file changes',
    )
    .option('--tls-key <FILE>', 'private key of --tls-cert')
    .option('--tls-client-ca <FILE>', clientCaDescription);
}

function addTokenOptions(command: Command, token: string, tokenFile: string): Command {
  return command
    .optionsGroup('Access:')
    .addOption(tokenOption(token))
    .option('--token-file <FILE>', `${tokenFile} (overrides LOCKSTEP_TOKEN)`);
}

function tokenOption(description: string): Option {
  return new Option(
    '--token <TOKEN>',
    `${description} (prefer LOCKSTEP_TOKEN: other users can see command-line arguments)`,
  ).env('LOCKSTEP_TOKEN');
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
    hideToken(command.name(), quiet === true);
  }
  return { token, tokenFile };
}

/** Returns the tokens of a relay: its own, and the file of those that its workers present. */
export function readRelayTokens(command: Command): TokenOptionValues {
  const { token, tokenFile, quiet } = command.opts<TokenOptionValues & { quiet?: true }>();
  if (command.getOptionValueSource('token') === 'cli') hideToken(command.name(), quiet === true);
  return { token, tokenFile };
}

/**
 * Hides the token from the process list, which every user of the machine can read: Node.js overwrites the arguments in
 * memory with the title.
 */
function hideToken(command: string, isQuiet: boolean): void {
  process.title = `lockstep ${command}`;
  if (isQuiet) return;
  process.stderr.write(
    'lockstep: warning: --token was visible in the process list to other users of this machine: use LOCKSTEP_TOKEN or ' +
      '--token-file\n',
  );
}
