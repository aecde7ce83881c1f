// The first words of a worker: whether they are a hello, of our version, with the right token, and in time.
import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import type { Clock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import { closeCodes } from '../../shared/protocol/close-codes.js';
import { decodeFrame, encodeFrame, maxHeaderBytes } from '../../shared/protocol/frame.js';
import {
  parseWorkerMessage,
  protocolVersion,
  protocolVersionIn,
  type CoordinatorMessage,
  type Hello,
  type RefusalCode,
} from '../../shared/protocol/messages.js';
import { lockstepVersion } from '../../shared/version.js';
import { mayDo, type TokenTable } from './tokens.js';

/** A connection that has not said hello by then is refused. */
export const helloTimeoutMs = 10_000;
/** How long the other end may take to close. */
const closeTimeoutMs = 3_000;
/** A hello is a header alone; twice as much leaves room for the frames around it, and for pings. */
const maxHelloBytes = 2 * maxHeaderBytes;

/** A worker that has said hello, with the right token where one is needed. */
export interface JoiningWorker {
  socket: WebSocket;
  /** What the socket's bytes come over: to be listened to, not to be written to. */
  transport: Duplex;
  hello: Hello;
  /** Host and port of the other end, for people. */
  address: string;
  /** To be told of what it does against the protocol. */
  failed: (why: string) => void;
}

export interface Refusal {
  code: RefusalCode;
  /** Says what is wrong and what mends it. */
  message: string;
}

/** Who has not said hello yet. */
export type PendingConnection = Omit<JoiningWorker, 'hello'>;

export interface HelloOptions {
  tokens: () => TokenTable;
  clock: Clock;
  /** Whether there is no room for another worker. */
  isFull: () => boolean;
  /** Takes a worker in, or says why not. The socket is the callee's from then on. */
  admit: (applicant: JoiningWorker) => Refusal | undefined;
  /** It was taken in. */
  onJoined: () => void;
  /** It was refused for what it said or did not say. */
  onFailed: (why: string) => void;
}

/** The first message is a hello of our version with the right token, or the connection is refused with the reason. */
export function awaitHello(options: HelloOptions, pendingConnection: PendingConnection): void {
  const { socket, transport } = pendingConnection;
  const { clock, onJoined, onFailed } = options;
  let bytes = 0;
  const stopWaiting = clock.after(helloTimeoutMs, () => {
    refuse({ code: 'bad-message', message: `no hello came within ${helloTimeoutMs / 1000} s` });
  });

  function refuse({ code, message }: Refusal): void {
    stopListening();
    // A run that has ended, or that is exact, is no fault of the one who knocks.
    if (code === 'bad-message' || code === 'token' || code === 'protocol-version') onFailed(message);
    const refusal: CoordinatorMessage = { type: 'refusal', code, message: message.slice(0, 2000) };
    socket.send(encodeFrame(refusal), () => close(closeCodes.refused));
  }
  /** The other end may take its time to close, but not for ever. */
  function close(code: number, reason?: string): void {
    socket.close(code, reason);
    const stopTimer = clock.after(closeTimeoutMs, () => socket.terminate());
    socket.once('close', stopTimer);
  }
  function stopListening(): void {
    stopWaiting();
    transport.off('data', onBytes);
    socket.off('message', onMessage);
  }
  /** A pendingConnection fills no more memory than a hello does. */
  function onBytes(data: Buffer): void {
    bytes += data.length;
    if (bytes <= maxHelloBytes) return;
    stopListening();
    onFailed(`more than ${maxHelloBytes} bytes came before a hello`);
    close(closeCodes.tooLong);
  }
  function onMessage(data: RawData): void {
    stopListening();
    if (options.isFull()) return close(closeCodes.tryAgainLater, 'there are more workers than this run has use for');
    const refusal = admitHello(options, pendingConnection, data as Buffer);
    if (refusal !== undefined) return refuse(refusal);
    // From here on the admitted worker's connection listens.
    socket.off('close', onClosed);
    socket.off('error', onError);
    onJoined();
  }
  function onClosed(): void {
    if (socket.listeners('message').includes(onMessage)) onFailed('the connection ended before a hello');
    stopListening();
  }
  function onError(error: Error): void {
    stopListening();
    onFailed(error.message);
    // ws closes with the code that the error calls for; what follows is not waited for.
    close(closeCodes.refused);
  }

  socket.on('close', onClosed);
  socket.on('error', onError);
  transport.on('data', onBytes);
  socket.on('message', onMessage);
}

function admitHello(options: HelloOptions, pendingConnection: PendingConnection, data: Buffer): Refusal | undefined {
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
    return options.admit({ ...pendingConnection, hello });
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
