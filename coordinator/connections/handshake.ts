// A worker's handshake: its first message must be a hello of this protocol version, with a valid token, within the
// timeout. Otherwise the worker is refused and told why.
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
import type { TakeMemory } from '../../shared/protocol/payload-gatherer.js';
import { lockstepVersion } from '../../shared/version.js';
import type { TokenCheck, WorkerTokenHolder } from './join/check-token.js';

/** Time after which a connection that has not sent a hello is refused. */
export const helloTimeoutMs = 10_000;
/** Time after which a connection that the other end has not closed is terminated. */
const closeTimeoutMs = 3_000;
/** A hello is only a header; twice the maximum header size leaves room for WebSocket framing. */
const maxHelloBytes = 2 * maxHeaderBytes;

/** A connection that has not sent a hello yet. */
export interface PendingConnection {
  socket: WebSocket;
  /** The stream below the WebSocket; used only to count bytes, never to write. */
  transport: Duplex;
  /** Has large payloads received into this memory. Not before the hello, because the memory is taken in advance. */
  gatherInto: (takeMemory: TakeMemory) => void;
  /** Host and port of the other end, for display. */
  address: string;
  /** Reports a failed handshake or a protocol violation. Too many of them block the worker's address. */
  failed: (reason: string) => void;
}

/** A worker that has sent a valid hello, including a valid token if one is required. */
export interface JoiningWorker extends PendingConnection {
  hello: Hello;
  /** Holder of the worker's token; undefined if none was needed. */
  holder?: WorkerTokenHolder | undefined;
}

export interface Refusal {
  code: RefusalCode;
  /** What is wrong and how to fix it. */
  message: string;
  /** Whether the refusal counts as a failed connection of the worker's address. */
  isFailure?: boolean | undefined;
}

/** The worker may try again later. */
export interface Deferral {
  tryAgainLater: string;
}

/** Decides whether a worker may join. */
export interface Admission {
  /** Maximum size of a message from a worker, in bytes. */
  maxMessageBytes: number;
  /** Whether as many workers are connected as the run can use. */
  isFull: () => boolean;
  /** Takes over the worker's socket, or returns why the worker is refused or deferred. */
  admit: (worker: JoiningWorker) => Refusal | Deferral | undefined;
}

/**
 * Waits for the hello, then admits or refuses the worker.
 * @param onJoined called when the worker has been admitted
 */
export function awaitHello(
  connection: PendingConnection,
  checkToken: (token: string) => TokenCheck,
  admission: Admission,
  clock: Clock,
  onJoined: () => void,
): void {
  const { socket, transport, failed } = connection;
  let bytes = 0;
  const stopTimer = clock.after(helloTimeoutMs, () => {
    const message = `no hello arrived within ${helloTimeoutMs / 1000} s`;
    stopListening();
    failed(message);
    // Not a refusal: the worker may only be slow.
    close(closeCodes.tryAgainLater, message);
  });

  function refuse({ code, message, isFailure = isWorkersFault(code) }: Refusal): void {
    stopListening();
    if (isFailure) failed(message);
    const refusal: CoordinatorMessage = { type: 'refusal', code, message: message.slice(0, 2000) };
    socket.send(encodeFrame(refusal), () => close(closeCodes.refused));
  }
  /** Starts the closing handshake; terminates the connection if the other end does not complete it in time. */
  function close(code: number, reason?: string): void {
    socket.close(code, reason);
    socket.once(
      'close',
      clock.after(closeTimeoutMs, () => socket.terminate()),
    );
  }
  function stopListening(): void {
    stopTimer();
    transport.off('data', onBytes);
    socket.off('message', onMessage);
  }
  /** Limits the memory that a pending connection can occupy to what a hello needs. */
  function onBytes(data: Buffer): void {
    bytes += data.length;
    if (bytes <= maxHelloBytes) return;
    stopListening();
    failed(`more than ${maxHelloBytes} bytes arrived before a hello`);
    close(closeCodes.tooLong);
  }
  function onMessage(data: RawData): void {
    stopListening();
    if (admission.isFull()) return close(closeCodes.tryAgainLater, 'the run has all the workers it can use');
    const problem = checkHello(data as Buffer, checkToken, (hello, holder) =>
      admission.admit({ ...connection, hello, holder }),
    );
    if (problem !== undefined && 'tryAgainLater' in problem) {
      return close(closeCodes.tryAgainLater, problem.tryAgainLater);
    }
    if (problem !== undefined) return refuse(problem);
    // From here on WorkerConnection handles these events.
    socket.off('close', onClosed);
    socket.off('error', onError);
    onJoined();
  }
  function onClosed(): void {
    if (socket.listeners('message').includes(onMessage)) failed('the connection ended before a hello');
    stopListening();
  }
  function onError(error: Error): void {
    stopListening();
    failed(error.message);
    // ws closes the socket with the code for this error; data that arrives later is ignored.
    close(closeCodes.refused);
  }

  socket.on('close', onClosed);
  socket.on('error', onError);
  transport.on('data', onBytes);
  socket.on('message', onMessage);
}

/** Refusals with other codes are not the worker's fault: the run has ended, or requires a different engine. */
function isWorkersFault(code: RefusalCode): boolean {
  return code === 'bad-message' || code === 'token' || code === 'protocol-version';
}

function checkHello(
  message: Buffer,
  checkToken: (token: string) => TokenCheck,
  admit: (hello: Hello, holder: WorkerTokenHolder | undefined) => Refusal | Deferral | undefined,
): Refusal | Deferral | undefined {
  try {
    const { header } = decodeFrame(message);
    const version = protocolVersionIn(header);
    if (version !== undefined && version !== protocolVersion) return wrongVersion(version);
    const hello = parseWorkerMessage(header);
    if (hello.type !== 'hello') {
      return { code: 'bad-message', message: `the first message was ${hello.type}, not hello` };
    }
    const token = checkToken(hello.token);
    return token.allowed
      ? admit(hello, token.holder)
      : { code: 'token', message: token.message, isFailure: token.isGuess };
  } catch (error) {
    if (error instanceof LockstepError) return { code: 'bad-message', message: error.message };
    throw error;
  }
}

function wrongVersion(version: number): Refusal {
  const older = version < protocolVersion ? 'the worker' : 'the coordinator';
  return {
    code: 'protocol-version',
    message:
      `the worker speaks protocol version ${version}, the coordinator (lockstep ${lockstepVersion}) version ` +
      `${protocolVersion}: update ${older}`,
  };
}
