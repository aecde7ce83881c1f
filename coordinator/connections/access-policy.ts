// Access to the coordinator: the address to listen on, tokens, and TLS certificates. Opens no port.
import type { Clock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import type { IncomingHttpHeaders } from 'node:http';
import { isLoopback, isSameOrigin, type PortAccess } from './http/http-access.js';
import { parseOrigin, parsePublicUrl } from './http/public-url.js';
import type { JoinLinks } from './join/join-links.js';
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
  /** A token that allows joining only, in addition to the others. */
  workersToken?: string | undefined;
  /** File of tokens, each with a name and a role; reloaded when it changes. If set, `token` is ignored. See tokens.ts. */
  tokenFile?: string | undefined;
  /**
   * The http or https URL by which others reach the port, through NAT or a proxy; it may have a path. It requires a token,
   * like an address other than loopback. Browsers' requests must be for its host and come from its pages.
   */
  publicUrl?: string | undefined;
  /**
   * Origins of other sites, such as `https://www.example.org`, whose pages may connect workers and load the scripts under
   * /join.
   */
  allowedOrigins?: readonly string[] | undefined;
}

/** Address to listen on, current tokens, and TLS certificate. */
export interface AccessPolicy {
  host: string;
  port: number;
  tokens: () => TokenTable;
  tls: ServerTls | undefined;
  publicUrl?: URL | undefined;
  allowedOrigins?: readonly string[] | undefined;
  /** The links with which browsers join; undefined if the run was started without. */
  joinLinks?: JoinLinks | undefined;
  /** Reloads the token file when it changes, until the returned function is called. */
  watch(clock: Clock, onChange: (message: string) => void): () => void;
}

/**
 * Resolves the options, and loads the token file and the certificates. Throws `bad-option` if other machines could
 * reach the port without a token, or if a file or a URL is unusable.
 */
export function openAccessPolicy(options: AccessOptions, joinLinks?: JoinLinks): AccessPolicy {
  const { host = '127.0.0.1', port = defaultPort, token, tokenFile, workersToken, allowedOrigins = [] } = options;
  const publicUrl = options.publicUrl === undefined ? undefined : parsePublicUrl(options.publicUrl);
  const file = tokenFile === undefined ? undefined : new TokenFile(tokenFile);
  const fixed = token === undefined || token === '' ? TokenTable.none : TokenTable.ofOwner(token);
  const configured = () => file?.table ?? fixed;
  const tokens = workersToken === undefined ? configured : () => configured().with(TokenTable.ofWorkers(workersToken));
  const exposure = publicUrl === undefined ? `\`host\` is ${host}` : `\`publicUrl\` is ${publicUrl.href}`;
  if ((!isLoopback(host) || publicUrl !== undefined) && configured().isEmpty) {
    throw new LockstepError(
      'bad-option',
      `${exposure}, which other machines can reach: set a token that workers must present (LOCKSTEP_TOKEN or \`tokenFile\`)`,
    );
  }
  return {
    host,
    port,
    tokens,
    tls: ServerTls.of(options),
    publicUrl,
    allowedOrigins: allowedOrigins.map(parseOrigin),
    joinLinks,
    watch: (clock, onChange) => file?.watch(clock, onChange) ?? (() => undefined),
  };
}

/** Returns the current rules for reading and operating. */
export function portAccessOf({ host, tokens, publicUrl }: AccessPolicy): PortAccess {
  return { tokens: tokens(), isLoopback: isLoopback(host) && publicUrl === undefined, publicUrl };
}

/** Whether a WebSocket upgrade comes from a program, from a page of this port, or from a site that may connect workers. */
export function mayConnect(headers: IncomingHttpHeaders, { publicUrl, allowedOrigins = [] }: AccessPolicy): boolean {
  return isSameOrigin(headers, publicUrl) || allowedOrigins.includes(headers.origin ?? '');
}
