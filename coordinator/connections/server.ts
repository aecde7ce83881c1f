// The coordinator's port: the WebSocket at /worker admits workers after a handshake; /healthz, /readyz, /status and
// /metrics are served over HTTP.
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
import { GatheringStream } from '../../shared/protocol/gathering-stream.js';
import { protocolVersion } from '../../shared/protocol/messages.js';
import type { TakeMemory } from '../../shared/protocol/payload-gatherer.js';
import { lockstepVersion } from '../../shared/version.js';
import { mayConnect, portAccessOf, type AccessPolicy } from './access-policy.js';
import { ConnectionLimiter, connectionLimitsFor, type ConnectionLimits } from './connection-limiter.js';
import { awaitHello, helloTimeoutMs, type Admission } from './handshake.js';
import { accessTo, challengeOf, foreignOrigin, tokenIn } from './http/http-access.js';
import { pathOf, replyJson } from './http/page-files.js';
import { hostProblem, withoutPrefix } from './http/public-url.js';
import type { ServedPages } from './http/served-pages.js';
import { clientCertificateProblem, type ServerTls } from './server-tls.js';
import { plainAnswer, setStrictHeaders } from './http/strict-headers.js';
import { checkWorkerToken } from './join/check-token.js';

const httpLimits = {
  /** Maximum time from TCP accept to the end of the headers. */
  headersTimeout: 10_000,
  /** Maximum time from TCP accept to the end of the body. */
  requestTimeout: 15_000,
  /** Interval at which Node.js checks these timeouts. */
  connectionsCheckingInterval: 1_000,
  /** Maximum size of the headers in bytes. Browsers with cookies stay far below it. */
  maxHeaderSize: 8 * 1024,
};
const maxHeaders = 64;

/** Content that the port serves over HTTP, in addition to /healthz. */
export interface ServedStatus {
  /** Returns the body of /status. */
  status: () => object;
  /** Returns why the run cannot make progress now, for /readyz; undefined if it can. */
  notReady: () => string | undefined;
  /** The body of /metrics, in one of Prometheus's text formats. */
  metrics?: { contentType: string; text(): Promise<string> } | undefined;
  /** Pages for browsers, which are served on the port too. */
  pages?: readonly (ServedPages | undefined)[] | undefined;
}

export interface ServerOptions {
  access: AccessPolicy;
  admission: Admission;
  served: ServedStatus;
  clock: Clock;
  /** Limits for pending connections; by default, those for a run with one slice. */
  limits?: ConnectionLimits | undefined;
  /** Receives log messages about access: refused connections, reloaded certificates. */
  onAccess: (message: string) => void;
}

export interface CoordinatorServer {
  port: number;
  /** Refuses new connections, closes the remaining ones, and frees the port. */
  close(): Promise<void>;
}

/** Starts listening. Throws `port-in-use` or `bad-address`. */
export async function startServer(options: ServerOptions): Promise<CoordinatorServer> {
  const { access, admission, served, clock, onAccess } = options;
  const { tls } = access;
  const limiter = new ConnectionLimiter(options.limits ?? connectionLimitsFor(1), clock, onAccess);
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    removePrefix(request, access);
    const { remoteAddress = 'unknown' } = request.socket;
    response.once('finish', () => {
      if (hasUnknownToken(request, response)) limiter.failed(remoteAddress, 'an HTTP request has an unknown token');
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
    removePrefix(request, access);
    upgrade(options, limiter, sockets, request, socket, head);
  });
  await listen(http, access.host, access.port);
  const stopWatching = tls?.watch(clock, (context) => (http as TlsServer).setSecureContext(context), onAccess);
  return {
    port: (http.address() as AddressInfo).port,
    async close() {
      stopWatching?.();
      for (const pages of served.pages ?? []) await pages?.close?.();
      for (const client of sockets.clients) client.terminate();
      const closed = new Promise<void>((resolve) => http.close(() => resolve()));
      http.closeAllConnections();
      await closed;
    },
  };
}

/**
 * Returns options with which TLS accepts clients that lack a valid certificate. Thus the server can tell them over HTTP
 * what is wrong, and health checks, which have no certificate, get an answer.
 */
function tlsOptions(tls: ServerTls): HttpsOptions {
  const { requiresClientCertificates: requestCert, context } = tls;
  return { ...httpLimits, ...context, requestCert, rejectUnauthorized: false, handshakeTimeout: helloTimeoutMs };
}

/**
 * Drops the connections that the limiter does not allow, and reports connections that fail before their first request.
 */
function limitConnections(http: Server | TlsServer, limiter: ConnectionLimiter, usesTls: boolean): void {
  const withRequest = new Set<string>();
  const onRequest = ({ socket }: IncomingMessage) => withRequest.add(`${socket.remoteAddress} ${socket.remotePort}`);
  http.prependListener('request', onRequest);
  http.prependListener('upgrade', onRequest);
  http.on('connection', (connected: Duplex) => {
    // The server listens on TCP only.
    const socket = connected as Socket;
    const { remoteAddress = 'unknown', remotePort = 0 } = socket;
    if (!limiter.arrived(remoteAddress, remotePort, () => socket.destroy())) {
      socket.destroy();
      return;
    }
    socket.once('close', () => {
      limiter.settled(remoteAddress, remotePort);
      // A connection that sends nothing, such as a port check, is not a failure.
      if (withRequest.delete(`${remoteAddress} ${remotePort}`) || socket.bytesRead === 0) return;
      const causes = usesTls
        ? 'the client does not use TLS, or does not trust this certificate, or not for this host name'
        : 'the client does not speak HTTP, or is too slow, or sends too many headers';
      limiter.failed(remoteAddress, `the connection ended without a request: ${causes}`);
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

/**
 * Whether a refused request may be an attempt to guess a token: it has an Authorization header or is a POST, such as a
 * login. A GET request without a token, or with a cookie from an earlier run, is not suspicious.
 */
function hasUnknownToken({ headers, method }: IncomingMessage, { statusCode }: ServerResponse): boolean {
  return statusCode === 401 && (headers.authorization !== undefined || method === 'POST');
}

function upgrade(
  { access, admission, served, clock }: ServerOptions,
  limiter: ConnectionLimiter,
  sockets: WebSocketServer,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  // A client that disconnects during the handshake is not an error.
  socket.on('error', () => socket.destroy());
  const { remoteAddress = 'unknown', remotePort = 0 } = request.socket;
  const failed = (reason: string) => limiter.failed(remoteAddress, reason);
  const onSettled = () => limiter.settled(remoteAddress, remotePort);
  const refuse = (status: string, reason: string) => {
    failed(reason);
    socket.end(plainAnswer(status, reason));
  };
  const problem = certificateProblemOf(request, access) ?? hostProblem(request.headers, access.publicUrl);
  if (problem !== undefined) return refuse('403 Forbidden', problem);
  const byPages = upgradeByPages(served, request, socket, head);
  // ServedPages limits how many sockets it takes over, so this connection no longer counts as pending.
  if (byPages === 'taken') return onSettled();
  if (byPages !== 'not mine') return void socket.end(plainAnswer(byPages.status, byPages.reason));
  if (pathOf(request) !== '/worker') return refuse('404 Not Found', 'not found: the WebSocket for workers is /worker');
  if (!mayConnect(request.headers, access)) return refuse('403 Forbidden', foreignOrigin);
  // ws itself refuses requests that are not valid WebSocket upgrades.
  if (head.length > 0) socket.unshift(head);
  const stream = new GatheringStream(socket);
  sockets.handleUpgrade(request, stream, Buffer.alloc(0), (webSocket) => {
    request.socket.setNoDelay(true);
    const address = `${remoteAddress}:${remotePort}`;
    const gatherInto = (takeMemory: TakeMemory) => {
      stream.takeMemory = (bytes) => (bytes > admission.maxMessageBytes ? undefined : takeMemory(bytes));
    };
    const connection = { socket: webSocket, transport: socket, gatherInto, address, failed };
    const checkToken = (token: string) => checkWorkerToken(token, access.tokens(), access.joinLinks);
    awaitHello(connection, checkToken, admission, clock, onSettled);
  });
}

function upgradeByPages(
  { pages = [] }: ServedStatus,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): ReturnType<NonNullable<ServedPages['upgrade']>> {
  for (const each of pages) {
    const answer = each?.upgrade?.(request, socket, head) ?? 'not mine';
    if (answer !== 'not mine') return answer;
  }
  return 'not mine';
}

/** Removes the public URL's path from the request's, so that everything else knows only the paths of the port. */
function removePrefix(request: IncomingMessage, { publicUrl }: AccessPolicy): void {
  if (publicUrl !== undefined) request.url = withoutPrefix(request.url ?? '/', publicUrl);
}

function answer({ access, served }: ServerOptions, request: IncomingMessage, response: ServerResponse): void {
  setStrictHeaders(request, response, access.publicUrl);
  const reply = (status: number, body: object, headers: Readonly<Record<string, string>> = {}) =>
    replyJson(response, status, body, headers);
  const path = pathOf(request);
  const isHealthCheck = path === '/healthz' || path === '/readyz';
  // Health checks present no certificate, and any name that leads to this machine.
  const problem = isHealthCheck
    ? undefined
    : (certificateProblemOf(request, access) ?? hostProblem(request.headers, access.publicUrl));
  if (problem !== undefined) return reply(403, { error: problem });
  if (served.pages?.some((pages) => pages?.answer(request, response)) === true) return;
  if (request.method !== 'GET') return reply(405, { error: 'method not allowed: use GET' });
  if (path === '/healthz') return reply(200, { status: 'ok', lockstepVersion, protocolVersion });
  if (path === '/readyz') {
    const reason = served.notReady();
    return reason === undefined ? reply(200, { status: 'ready' }) : reply(503, { status: 'not ready', reason });
  }
  const { metrics } = served;
  if (path !== '/status' && (path !== '/metrics' || metrics === undefined)) {
    return reply(404, { error: 'not found: use /healthz, /readyz, /status, /metrics or, for workers, /worker' });
  }
  const port = portAccessOf(access);
  const permission = accessTo('read', request.headers, port);
  // A worker token does not permit reading, but this header tells the doctor command that the token is valid.
  const token = tokenIn(request.headers);
  const role = token === undefined ? undefined : port.tokens.holderOf(token)?.role;
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

/** Returns why a request is refused because of its client certificate; undefined if the certificate is accepted. */
function certificateProblemOf(request: IncomingMessage, { tls }: AccessPolicy): string | undefined {
  if (tls?.requiresClientCertificates !== true) return undefined;
  // With TLS, every socket of the server is a TLSSocket.
  return clientCertificateProblem(request.socket as TLSSocket);
}

/** Throws `port-in-use` or `bad-address`. */
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
    const [code, message] =
      systemCodeOf(cause) === 'EADDRINUSE'
        ? ([
            'port-in-use',
            `port ${port} on ${host} is in use: choose another with \`port\`, or 0 for any free port`,
          ] as const)
        : ([
            'bad-address',
            `cannot listen on ${host}:${port} (${messageOf(cause)}): check \`host\` and \`port\``,
          ] as const);
    throw new LockstepError(code, message, { cause });
  }
}
