// The coordinator's one port: /worker takes workers in after a handshake, /healthz, /readyz, /status and /metrics answer over HTTP.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import type { Clock } from '../shared/clock.js';
import { LockstepError, messageOf, systemCodeOf } from '../shared/errors.js';
import { decodeFrame, encodeFrame } from '../shared/protocol/frame.js';
import {
  parseWorkerMessage,
  protocolVersion,
  protocolVersionIn,
  type CoordinatorMessage,
  type Hello,
  type RefusalCode,
} from '../shared/protocol/messages.js';
import { lockstepVersion } from '../shared/version.js';
import { accessTo, foreignOrigin, isLoopback, isSameOrigin, tokenIn } from './http-access.js';
import { certificateTrouble, type ServerTls } from './server-tls.js';
import { mayDo, type TokenTable } from './tokens.js';

/** A connection that has not said hello by then is closed. */
const helloTimeoutMs = 10_000;

export interface ServerOptions {
  host: string;
  /** 0 for any free port. */
  port: number;
  /** Who may do what, at this moment. Without any token, only fit for loopback, anybody may join. */
  tokens: () => TokenTable;
  /** wss and https instead of ws and http. */
  tls?: ServerTls | undefined;
  /** The longest message that a worker may send, in bytes. */
  maxMessageBytes: number;
  clock: Clock;
  /** What /status tells. */
  status: () => object;
  /** Why the run cannot go on now; undefined while it can. /readyz tells it. */
  notReady: () => string | undefined;
  /** What /metrics tells, in a text format of Prometheus; nothing unless said. */
  metrics?: { contentType: string; text(): Promise<string> } | undefined;
  /** What else is served on the port. */
  pages?: ServedPages | undefined;
  /** Told in words of what happens at the door: who was refused, which files were read again. */
  tell: (message: string) => void;
  /** Takes a worker in, or says why not. The socket is the callee's from then on. */
  admit: (applicant: Applicant) => Refusal | undefined;
}

/** Answers what is for people's eyes. */
export interface ServedPages {
  /** @returns whether the request is one for these pages: then it is answered, now or soon */
  answer(request: IncomingMessage, response: ServerResponse): boolean;
  /** @returns whether the socket is taken over, why it is refused, or that the request is not for these pages */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): 'taken' | 'not mine' | UpgradeRefusal;
}

export interface UpgradeRefusal {
  /** Such as `403 Forbidden`. */
  status: string;
  reason: string;
}

/** A worker that has said hello, with the right token where one is needed. */
export interface Applicant {
  socket: WebSocket;
  /** What the socket's bytes come over: to be listened to, not to be written to. */
  transport: Duplex;
  hello: Hello;
  /** Host and port of the other end, for people. */
  address: string;
}

export interface Refusal {
  code: RefusalCode;
  /** Says what is wrong and what mends it. */
  message: string;
}

export interface CoordinatorServer {
  port: number;
  /** Refuses new connections, ends those that are left, and frees the port. */
  close(): Promise<void>;
}

/** Listens. Throws `port-in-use` or `bad-address`, naming the option to change. */
export async function startServer(options: ServerOptions): Promise<CoordinatorServer> {
  const { tls, clock, tell } = options;
  const onRequest = (request: IncomingMessage, response: ServerResponse) => answer(options, request, response);
  const http = tls === undefined ? createServer(onRequest) : createServerWith(tls, options, onRequest);
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: options.maxMessageBytes,
  });
  http.on('upgrade', (request, socket, head) => {
    // A peer that goes away in mid-handshake is no event of the run.
    socket.on('error', () => socket.destroy());
    const trouble = troubleWith(request, options);
    if (trouble !== undefined) {
      tell(`${addressOf(request)} was refused: ${trouble}`);
      return refuseUpgrade(socket, '403 Forbidden', trouble);
    }
    const byPages = options.pages?.upgrade(request, socket, head) ?? 'not mine';
    if (byPages === 'taken') return;
    if (byPages !== 'not mine') return refuseUpgrade(socket, byPages.status, byPages.reason);
    if (pathOf(request) !== '/worker') return refuseUpgrade(socket, '404 Not Found');
    if (!isSameOrigin(request.headers)) return refuseUpgrade(socket, '403 Forbidden', foreignOrigin);
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      request.socket.setNoDelay(true);
      awaitHello(options, { socket: webSocket, transport: socket, address: addressOf(request) });
    });
  });
  await listen(http, options.host, options.port);
  const stopWatching = tls?.watch(clock, (context) => (http as TlsServer).setSecureContext(context), tell);
  return {
    port: (http.address() as AddressInfo).port,
    async close() {
      stopWatching?.();
      for (const client of sockets.clients) client.terminate();
      const closed = new Promise<void>((resolve) => http.close(() => resolve()));
      http.closeAllConnections();
      await closed;
    },
  };
}

/**
 * Peers without a right certificate get through to HTTP: there they can be told what is wrong, where TLS has a number for
 * it at best, and probes, which show none, can ask whether this lives.
 */
function createServerWith(
  tls: ServerTls,
  { tell }: ServerOptions,
  onRequest: (request: IncomingMessage, response: ServerResponse) => void,
): TlsServer {
  const server = createTlsServer(
    {
      ...tls.context,
      requestCert: tls.asksForCertificates,
      rejectUnauthorized: false,
      handshakeTimeout: helloTimeoutMs,
    },
    onRequest,
  );
  tellOfSilentPeers(server, tell);
  return server;
}

/**
 * A peer that does not trust the certificate just goes away, before or after the handshake. One that never said anything,
 * as probes of ports do, is passed over.
 */
function tellOfSilentPeers(server: TlsServer, tell: (message: string) => void): void {
  const asked = new Set<string>();
  server.prependListener('request', (request) => asked.add(addressOf(request)));
  server.prependListener('upgrade', (request) => asked.add(addressOf(request)));
  server.on('connection', (connected) => {
    // It listens on TCP alone.
    const socket = connected as Socket;
    const address = addressOf({ socket });
    socket.once('close', () => {
      if (asked.delete(address) || socket.bytesRead === 0) return;
      tell(
        `${address} began to speak and went away without a request: it speaks no TLS, or does not trust this certificate, ` +
          'or not under the name that it used',
      );
    });
  });
}

/** What keeps a peer's request from being answered, whatever it asks: its certificate. */
function troubleWith(request: IncomingMessage, { tls }: ServerOptions): string | undefined {
  if (tls?.asksForCertificates !== true) return undefined;
  // Behind a server that speaks TLS every socket does.
  return certificateTrouble(request.socket as TLSSocket);
}

function addressOf({ socket }: { socket: Socket }): string {
  return `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`;
}

function refuseUpgrade(socket: Duplex, status: string, reason = ''): void {
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(reason)}\r\n\r\n${reason}`,
  );
}

async function listen(http: Server, host: string, port: number): Promise<void> {
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

/** The first message is a hello of our version with the right token, or the connection is refused with the reason. */
function awaitHello(options: ServerOptions, stranger: Omit<Applicant, 'hello'>): void {
  const { socket } = stranger;
  const stopWaiting = options.clock.after(helloTimeoutMs, () => socket.terminate());
  socket.once('close', stopWaiting);
  const onError = () => socket.terminate();
  socket.on('error', onError);
  socket.once('message', (data: RawData) => {
    stopWaiting();
    const refusal = admitHello(options, stranger, data as Buffer);
    if (refusal === undefined) {
      // From here on the admitted worker's connection listens.
      socket.off('close', stopWaiting);
      socket.off('error', onError);
      return;
    }
    const message: CoordinatorMessage = { type: 'refusal', ...refusal };
    socket.send(encodeFrame(message), () => socket.close(1008));
  });
}

function admitHello(options: ServerOptions, stranger: Omit<Applicant, 'hello'>, data: Buffer): Refusal | undefined {
  let header: unknown;
  try {
    ({ header } = decodeFrame(data));
    const version = protocolVersionIn(header);
    if (version !== undefined && version !== protocolVersion) return otherVersion(version);
    const hello = parseWorkerMessage(header);
    if (hello.type !== 'hello') {
      return { code: 'bad-message', message: `the first message was ${hello.type}, not hello` };
    }
    const unwelcome = checkToken(options.tokens(), hello.token);
    if (unwelcome !== undefined) return unwelcome;
    return options.admit({ ...stranger, hello });
  } catch (error) {
    if (error instanceof LockstepError) return { code: 'bad-message', message: error.message };
    throw error;
  }
}

function otherVersion(version: number): Refusal {
  const older = version < protocolVersion ? 'the worker' : 'the coordinator';
  return {
    code: 'protocol-version',
    message:
      `the worker speaks protocol version ${version}, the coordinator (lockstep ${lockstepVersion}) version ` +
      `${protocolVersion}: update ${older}`,
  };
}

function checkToken(tokens: TokenTable, token: string): Refusal | undefined {
  if (tokens.isEmpty) return undefined;
  const holder = tokens.holderOf(token);
  if (holder === undefined) {
    const given = token === '' ? 'no token' : 'a wrong token';
    return {
      code: 'token',
      message: `${given} was given: pass one that this coordinator knows with LOCKSTEP_TOKEN or --token-file`,
    };
  }
  if (mayDo(holder.role, 'join')) return undefined;
  return {
    code: 'token',
    message: `the token of ${holder.name}, a ${holder.role}, does not allow to join: pass a worker's`,
  };
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?')[0];
}

function answer(options: ServerOptions, request: IncomingMessage, response: ServerResponse): void {
  const reply = (status: number, body: object, headers: Readonly<Record<string, string>> = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
    response.end(`${JSON.stringify(body)}\n`);
  };
  const path = pathOf(request);
  const isProbe = path === '/healthz' || path === '/readyz';
  const trouble = isProbe ? undefined : troubleWith(request, options);
  if (trouble !== undefined) return reply(403, { error: trouble });
  if (options.pages?.answer(request, response) === true) return;
  if (request.method !== 'GET') return reply(405, { error: 'only GET is answered here' });
  if (path === '/healthz') return reply(200, { status: 'ok', lockstepVersion, protocolVersion });
  if (path === '/readyz') {
    const reason = options.notReady();
    return reason === undefined ? reply(200, { status: 'ready' }) : reply(503, { status: 'not ready', reason });
  }
  const { metrics } = options;
  if (path !== '/status' && (path !== '/metrics' || metrics === undefined)) {
    return reply(404, { error: 'there are /healthz, /readyz, /status, /metrics and, for workers, /worker' });
  }
  const door = { tokens: options.tokens(), isLoopback: isLoopback(options.host) };
  const access = accessTo('read', request.headers, door);
  // Whoever shows a token learns as whose it is known: a worker's does not allow to read, and is right all the same.
  const token = tokenIn(request.headers);
  const role = token === undefined ? undefined : door.tokens.roleOf(token);
  const headers = role === undefined ? {} : { 'lockstep-role': role };
  if (!access.allowed) return reply(access.status, { error: access.message }, headers);
  if (path === '/status' || metrics === undefined) return reply(200, options.status(), headers);
  metrics.text().then(
    (text) => response.writeHead(200, { ...headers, 'content-type': metrics.contentType }).end(text),
    (error: unknown) => reply(500, { error: messageOf(error) }, headers),
  );
}
