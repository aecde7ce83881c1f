// The coordinator's one port: /worker takes workers in after a handshake, /healthz, /readyz, /status and /metrics answer over HTTP.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  createServer as createTlsServer,
  type Server as TlsServer,
  type ServerOptions as HttpsOptions,
} from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import type { Clock } from '../../shared/clock.js';
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { protocolVersion } from '../../shared/protocol/messages.js';
import { lockstepVersion } from '../../shared/version.js';
import type { AccessPolicy } from './access-policy.js';
import { ConnectionLimiter, connectionLimitsFor, type ConnectionLimits } from './connection-limiter.js';
import { awaitHello, helloTimeoutMs, type Admission } from './handshake.js';
import { accessTo, challengeOf, foreignOrigin, isLoopback, isSameOrigin, tokenIn } from './http-access.js';
import { certificateTrouble, type ServerTls } from './server-tls.js';
import { plainAnswer, setStrictHeaders } from './strict-headers.js';

/** From TCP's accept to the end of a request's headers, and to the end of its body: seconds are plenty for either. */
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 15_000;
/** Browsers with cookies stay far below. */
const maxHeadersBytes = 8 * 1024;
const maxHeaders = 64;

/** What the port answers over HTTP, besides /healthz. */
export interface ServedStatus {
  /** The body of /status. */
  status: () => object;
  /** Why the run cannot continue now, for /readyz; undefined while it can. */
  notReady: () => string | undefined;
  /** The body of /metrics, in a text format of Prometheus. */
  metrics?: { contentType: string; text(): Promise<string> } | undefined;
  /** Other pages served on the port. */
  pages?: ServedPages | undefined;
}

/** Pages for browsers. */
export interface ServedPages {
  /** @returns whether the request is for these pages; then it is answered, now or later */
  answer(request: IncomingMessage, response: ServerResponse): boolean;
  /** @returns whether the socket was taken over, why it is refused, or that the request is not for these pages */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): 'taken' | 'not mine' | UpgradeRefusal;
  /** Closes the sockets that were taken over, after what was sent has left. */
  close(): Promise<void>;
}

export interface UpgradeRefusal {
  /** For example `403 Forbidden`. */
  status: string;
  reason: string;
}

export interface ServerOptions {
  access: AccessPolicy;
  admission: Admission;
  served: ServedStatus;
  clock: Clock;
  /** Limits for connections that have not joined; those of a small run by default. */
  limits?: ConnectionLimits | undefined;
  /** Called with messages about access: refused connections, certificates that were read again. */
  onAccess: (message: string) => void;
}

export interface CoordinatorServer {
  port: number;
  /** Refuses new connections, ends those that are left, and frees the port. */
  close(): Promise<void>;
}

/** Listens. Throws `port-in-use` or `bad-address`, naming the option to change. */
export async function startServer(options: ServerOptions): Promise<CoordinatorServer> {
  const { access, admission, served, clock, onAccess } = options;
  const { tls } = access;
  const limiter = new ConnectionLimiter(options.limits ?? connectionLimitsFor(1), clock, onAccess);
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const { remoteAddress = 'unknown' } = request.socket;
    response.once('finish', () => {
      if (showsWrongToken(request, response)) limiter.failed(remoteAddress, 'a wrong token was shown over HTTP');
    });
    answer(options, request, response);
  };
  const http = tls === undefined ? createServer(httpLimits, onRequest) : createTlsServer(tlsOptions(tls), onRequest);
  http.maxHeadersCount = maxHeaders;
  limitConnections(http, limiter, tls !== undefined);
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: admission.maxMessageBytes,
  });
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // A peer that goes away in mid-handshake is no event of the run.
    socket.on('error', () => socket.destroy());
    const { remoteAddress = 'unknown', remotePort = 0 } = request.socket;
    const failed = (why: string) => limiter.failed(remoteAddress, why);
    const refuse = (status: string, why: string) => {
      failed(why);
      socket.end(plainAnswer(status, why));
    };
    const trouble = troubleWith(request, access);
    if (trouble !== undefined) return refuse('403 Forbidden', trouble);
    const byPages = served.pages?.upgrade(request, socket, head) ?? 'not mine';
    // Pages that watch are counted where they are served.
    if (byPages === 'taken') return limiter.settled(remoteAddress, remotePort);
    if (byPages !== 'not mine') return void socket.end(plainAnswer(byPages.status, byPages.reason));
    if (pathOf(request) !== '/worker') return refuse('404 Not Found', 'there is no WebSocket but /worker');
    if (!isSameOrigin(request.headers)) return refuse('403 Forbidden', foreignOrigin);
    // ws answers by itself what is no upgrade to a WebSocket.
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      request.socket.setNoDelay(true);
      const connection = {
        socket: webSocket,
        transport: socket,
        address: `${remoteAddress}:${remotePort}`,
        failed,
      };
      const onJoined = () => limiter.settled(remoteAddress, remotePort);
      awaitHello(connection, access.tokens, admission, clock, onJoined);
    });
  });
  await listen(http, access.host, access.port);
  const stopWatching = tls?.watch(clock, (context) => (http as TlsServer).setSecureContext(context), onAccess);
  return {
    port: (http.address() as AddressInfo).port,
    async close() {
      stopWatching?.();
      await served.pages?.close();
      for (const client of sockets.clients) client.terminate();
      const closed = new Promise<void>((resolve) => http.close(() => resolve()));
      http.closeAllConnections();
      await closed;
    },
  };
}

const httpLimits = {
  maxHeaderSize: maxHeadersBytes,
  headersTimeout: headersTimeoutMs,
  requestTimeout: requestTimeoutMs,
  // How often Node looks for those that are too slow.
  connectionsCheckingInterval: 1_000,
};

/**
 * Peers without a right certificate get through to HTTP: there they can be told what is wrong, where TLS has a number for
 * it at best, and probes, which show none, can ask whether this lives.
 */
function tlsOptions(tls: ServerTls): HttpsOptions {
  const { asksForCertificates: requestCert, context } = tls;
  return { ...httpLimits, ...context, requestCert, rejectUnauthorized: false, handshakeTimeout: helloTimeoutMs };
}

/** Turns away what the guard does not let stand, and tells it of what fails before there is a request. */
function limitConnections(http: Server | TlsServer, limiter: ConnectionLimiter, speaksTls: boolean): void {
  const asked = new Set<string>();
  const hasAsked = ({ socket }: IncomingMessage) => asked.add(`${socket.remoteAddress} ${socket.remotePort}`);
  http.prependListener('request', hasAsked);
  http.prependListener('upgrade', hasAsked);
  http.on('connection', (connected: Duplex) => {
    // It listens on TCP alone.
    const socket = connected as Socket;
    const { remoteAddress = 'unknown', remotePort = 0 } = socket;
    if (!limiter.arrived(remoteAddress, remotePort, () => socket.destroy())) {
      socket.destroy();
      return;
    }
    socket.once('close', () => {
      limiter.settled(remoteAddress, remotePort);
      // One that never said anything, as probes of ports do, is passed over.
      if (asked.delete(`${remoteAddress} ${remotePort}`) || socket.bytesRead === 0) return;
      const guess = speaksTls
        ? 'speaks no TLS, or does not trust this certificate, or not under the name that it used'
        : 'speaks no HTTP, or takes too long, or goes on about nothing';
      limiter.failed(remoteAddress, `it began to speak and went away without a request: it ${guess}`);
    });
  });
  http.on('clientError', ({ code = '' }: NodeJS.ErrnoException, socket: Duplex) => {
    if (!socket.writable || code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const status =
      code === 'HPE_HEADER_OVERFLOW'
        ? '431 Request Header Fields Too Large'
        : code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? '408 Request Timeout'
          : '400 Bad Request';
    socket.end(plainAnswer(status, ''), () => socket.destroy());
  });
}

/** Guessing is counted. A page whose cookie is of an earlier run, and who shows nothing, are not guessing. */
function showsWrongToken({ headers, method }: IncomingMessage, { statusCode }: ServerResponse): boolean {
  return statusCode === 401 && (headers.authorization !== undefined || method === 'POST');
}

/** What keeps a peer's request from being answered, whatever it asks: its certificate. */
function troubleWith(request: IncomingMessage, { tls }: AccessPolicy): string | undefined {
  if (tls?.asksForCertificates !== true) return undefined;
  // Behind a server that speaks TLS every socket does.
  return certificateTrouble(request.socket as TLSSocket);
}

/** Throws `port-in-use` or `bad-address`, naming the option to change. */
export async function listen(http: Server, host: string, port: number): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      http.once('error', reject);
      http.listen(port, host, () => {
        http.off('error', reject);
        resolve();
      });
    });
  } catch (cause) {
    if (systemCodeOf(cause) === 'EADDRINUSE') {
      throw new LockstepError(
        'port-in-use',
        `port ${port} on ${host} is in use: choose another with --port, or --port 0 for any free one`,
        { cause },
      );
    }
    throw new LockstepError(
      'bad-address',
      `cannot listen on ${host}:${port} (${messageOf(cause)}): see --host and --port`,
      {
        cause,
      },
    );
  }
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?')[0];
}

function answer({ access, served }: ServerOptions, request: IncomingMessage, response: ServerResponse): void {
  setStrictHeaders(request, response);
  const reply = (status: number, body: object, headers: Readonly<Record<string, string>> = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(`${JSON.stringify(body)}\n`);
  };
  const path = pathOf(request);
  const isProbe = path === '/healthz' || path === '/readyz';
  const trouble = isProbe ? undefined : troubleWith(request, access);
  if (trouble !== undefined) return reply(403, { error: trouble });
  if (served.pages?.answer(request, response) === true) return;
  if (request.method !== 'GET') return reply(405, { error: 'only GET is answered here' });
  if (path === '/healthz') return reply(200, { status: 'ok', lockstepVersion, protocolVersion });
  if (path === '/readyz') {
    const reason = served.notReady();
    return reason === undefined ? reply(200, { status: 'ready' }) : reply(503, { status: 'not ready', reason });
  }
  const { metrics } = served;
  if (path !== '/status' && (path !== '/metrics' || metrics === undefined)) {
    return reply(404, { error: 'there are /healthz, /readyz, /status, /metrics and, for workers, /worker' });
  }
  const policy = { tokens: access.tokens(), isLoopback: isLoopback(access.host) };
  const permission = accessTo('read', request.headers, policy);
  // Whoever shows a token learns as whose it is known: a worker's does not allow to read, and is right all the same.
  const token = tokenIn(request.headers);
  const role = token === undefined ? undefined : policy.tokens.roleOf(token);
  const headers = role === undefined ? {} : { 'lockstep-role': role };
  if (!permission.allowed) {
    const challenge = challengeOf(permission, request.headers);
    return reply(permission.status, { error: permission.message }, { ...headers, ...challenge });
  }
  if (path === '/status' || metrics === undefined) return reply(200, served.status(), headers);
  metrics.text().then(
    (text) => response.writeHead(200, { ...headers, 'content-type': metrics.contentType }).end(text),
    (error: unknown) => reply(500, { error: messageOf(error) }, headers),
  );
}
