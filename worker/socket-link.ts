// A connection to the coordinator in this thread: a WebSocket, pings, and the watch for silence.
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { Clock } from '../shared/clock.js';
import { SilenceWatch } from '../shared/silence.js';
import type { CoordinatorLink, LinkHandlers, SilenceLimits } from './coordinator-link.js';

/** A worker does not know the model before the welcome; until then this bounds a message. Weights of 64 million parameters. */
const largestMessageBytes = 256 * 1024 * 1024;
const handshakeTimeoutMs = 10_000;

export class SocketLink implements CoordinatorLink {
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  #transport: Socket | undefined;
  #silence: SilenceWatch | undefined;
  #stopPinging: () => void = () => undefined;
  #lostReason: string | undefined;

  constructor(url: string, handlers: LinkHandlers, clock: Clock) {
    this.#clock = clock;
    this.#socket = new WebSocket(`${url.replace(/\/$/, '')}/worker`, {
      perMessageDeflate: false,
      handshakeTimeout: handshakeTimeoutMs,
      maxPayload: largestMessageBytes,
      // Masks protect proxies from hostile scripts in browsers; with zeros both ends skip the masking.
      generateMask: (mask) => mask.fill(0),
    });
    this.#socket.on('upgrade', ({ socket }) => {
      this.#transport = socket;
    });
    this.#socket.on('open', handlers.onOpen);
    // ws hands out a Buffer under its default binary type.
    this.#socket.on('message', (data) => handlers.onMessage(data as Buffer));
    this.#socket.on('error', (error) => {
      this.#lostReason ??= error.message;
    });
    this.#socket.on('close', (code, reason) => {
      this.#silence?.stop();
      this.#stopPinging();
      handlers.onClosed(this.#lostReason ?? (reason.toString() || `connection closed (${code})`));
    });
  }

  send(frame: Uint8Array, onSent?: () => void): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(frame, onSent);
  }

  watch({ pingIntervalMs, silenceTimeoutMs }: SilenceLimits): void {
    const silence = new SilenceWatch(this.#clock, silenceTimeoutMs, () => {
      this.#lostReason ??= `the coordinator was silent for more than ${silenceTimeoutMs / 1000} s`;
      this.#socket.terminate();
    });
    this.#silence = silence;
    // Bytes, not messages: over a slow link the weights take longer than any silence, and pings wait behind them.
    this.#transport?.on('data', () => silence.heard());
    this.#stopPinging = this.#clock.every(pingIntervalMs, () => {
      if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping();
    });
  }

  close(code: number): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.close(code);
    else this.#socket.terminate();
  }

  terminate(): void {
    this.#socket.terminate();
  }
}
