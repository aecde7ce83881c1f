// Connects to the coordinator over a browser's WebSocket.
import { machineMs, type Clock } from '../../shared/clock.js';
import { closeCodes } from '../../shared/protocol/close-codes.js';
import { HeartbeatExchange } from '../../shared/protocol/heartbeats/exchange.js';
import { maxMessageBytes } from '../../shared/protocol/messages.js';
import {
  closeTimeoutMs,
  handshakeTimeoutMs,
  type CoordinatorLink,
  type LinkHandlers,
  type LinkHeartbeat,
} from '../connection/coordinator-link.js';

/**
 * Slowest connection for which the timeout allows. A browser sees a message only once all of it has arrived, so the
 * coordinator seems silent while large weights arrive.
 */
const minBytesPerMs = 100;
/** Offset of the close codes that scripts may use for those that only browsers may. */
const privateCodes = 3_000;

export class WebSocketLink implements CoordinatorLink {
  readonly #socket: WebSocket;
  readonly #handlers: LinkHandlers;
  readonly #clock: Clock;
  readonly #heartbeats: HeartbeatExchange;
  #lostReason: string | undefined;
  #isClosed = false;

  constructor(url: string, handlers: LinkHandlers, clock: Clock) {
    this.#handlers = handlers;
    this.#clock = clock;
    this.#socket = new WebSocket(`${url}/worker`);
    this.#socket.binaryType = 'arraybuffer';
    this.#heartbeats = new HeartbeatExchange(
      {
        send: (frame) => this.send(frame),
        queuedBytes: () => this.#socket.bufferedAmount,
        onSilent: (timeoutMs) => this.#abandon(`the coordinator was silent for more than ${timeoutMs / 1000} s`),
      },
      clock,
      machineMs,
    );
    this.#heartbeats.detectSilence(handshakeTimeoutMs);
    this.#socket.addEventListener('open', () => {
      this.#heartbeats.heard();
      handlers.onOpen();
    });
    this.#socket.addEventListener('message', ({ data }: MessageEvent<unknown>) => this.#receive(data));
    // Browsers do not tell scripts why a connection failed. An `error` event adds nothing to `close`.
    this.#socket.addEventListener('close', ({ code, reason }) => this.#closed(reason || `connection closed (${code})`));
  }

  send(frame: Uint8Array): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(frame as Uint8Array<ArrayBuffer>);
  }

  sendAndReturn(frame: Uint8Array<ArrayBuffer>, onSent: (memory: ArrayBuffer) => void): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send(frame);
    // The browser has copied the frame.
    onSent(frame.buffer);
  }

  reuse(): void {
    // The browser allocates the memory of messages itself.
  }

  startHeartbeat({ intervalMs, timeoutMs, maxMessageBytes }: LinkHeartbeat): void {
    this.#heartbeats.start({ intervalMs, timeoutMs: timeoutMs + maxMessageBytes / minBytesPerMs });
  }

  close(code: number): void {
    this.#socket.close(code === closeCodes.goodbye ? code : privateCodes + code);
    this.#clock.after(closeTimeoutMs, () => this.#closed('the coordinator did not close the connection'));
  }

  #receive(data: unknown): void {
    if (!(data instanceof ArrayBuffer) || data.byteLength > maxMessageBytes) {
      this.#abandon('the coordinator sent a message that is not binary or too long');
      return;
    }
    const message = new Uint8Array(data);
    if (!this.#heartbeats.receive(message)) this.#handlers.onMessage(message);
  }

  /** Closes the connection without waiting for the other side, which may be unreachable. */
  #abandon(reason: string): void {
    this.#lostReason ??= reason;
    this.#socket.close();
    this.#closed(reason);
  }

  #closed(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#heartbeats.stop();
    this.#handlers.onClosed(this.#lostReason ?? reason, false);
  }
}
