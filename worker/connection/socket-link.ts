// A connection to the coordinator in this thread: a WebSocket, pings, and the watch for silence.
import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { minTls, type ClientTls } from '../../shared/protocol/client-tls.js';
import { machineMs, type Clock } from '../../shared/clock.js';
import { explainConnectionError } from '../../shared/protocol/connection-error.js';
import { clockAnswer } from '../../shared/protocol/clock-question.js';
import { HeartbeatMonitor } from '../../shared/protocol/heartbeat.js';
import { maxMessageBytes, type CoordinatorLink, type LinkHandlers, type HeartbeatOptions } from './coordinator-link.js';

/** The coordinator may take so long to answer the upgrade, and the hello after it. */
const handshakeTimeoutMs = 10_000;
/** More of what the other side says in place of a WebSocket is not read. */
const maxRefusal = 1_000;
/** How long the coordinator may take to close its end. */
const closeTimeoutMs = 3_000;
/** So many pings and pongs may wait to leave. One that pings and does not read gets no more of them, and they no memory. */
const maxControlsWaiting = 16;
/** A timer's longest; Node takes one that is longer for one of a millisecond. */
const maxTimerMs = 2 ** 31 - 1;

export class SocketLink implements CoordinatorLink {
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  #silence: HeartbeatMonitor | undefined;
  #stopPinging: () => void = () => undefined;
  /** Stops the wait for the other side to close. */
  #stopClosing: (() => void) | undefined;
  #controlsWaiting = 0;
  #lostReason: string | undefined;
  #isFinal = false;

  constructor(url: string, handlers: LinkHandlers, clock: Clock, tls: ClientTls = {}) {
    this.#clock = clock;
    this.#socket = new WebSocket(`${url.replace(/\/$/, '')}/worker`, {
      perMessageDeflate: false,
      // Below, where it is counted.
      autoPong: false,
      handshakeTimeout: handshakeTimeoutMs,
      maxPayload: maxMessageBytes,
      // Masks protect proxies from hostile scripts in browsers; with zeros both ends skip the masking.
      generateMask: (mask) => mask.fill(0),
      ...tls,
      minVersion: minTls,
    });
    this.#socket.on('unexpected-response', (_, response) => void this.#takeRefusal(response));
    this.#socket.on('upgrade', ({ socket }) => {
      // Not before ws listens: what came with the upgrade would be read by this listener alone.
      this.#socket.once('open', () => {
        this.#endAfterSilence(handshakeTimeoutMs);
        // Bytes, not messages: over a slow link the weights take longer than any silence, and pings wait behind them.
        socket.on('data', () => this.#silence?.heard());
        handlers.onOpen();
      });
    });
    // ws hands out a Buffer under its default binary type.
    this.#socket.on('message', (data) => handlers.onMessage(data as Buffer));
    this.#socket.on('ping', (data: Buffer) => {
      this.#sendControl('pong', data);
      const answer = clockAnswer(data, machineMs());
      if (answer !== undefined) this.#sendControl('pong', answer);
    });
    this.#socket.on('error', (error) => {
      const { reason, isFinal } = explainConnectionError(error, url);
      this.#lostReason ??= reason;
      this.#isFinal ||= isFinal;
    });
    this.#socket.on('close', (code, reason) => {
      this.#silence?.stop();
      this.#stopPinging();
      this.#stopClosing?.();
      handlers.onClosed(this.#lostReason ?? (reason.toString() || `connection closed (${code})`), this.#isFinal);
    });
  }

  send(frame: Uint8Array, onSent?: () => void): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(frame, onSent);
  }

  watch({ heartbeatIntervalMs, heartbeatTimeoutMs }: HeartbeatOptions): void {
    this.#endAfterSilence(heartbeatTimeoutMs);
    this.#stopPinging = this.#clock.every(Math.min(heartbeatIntervalMs, maxTimerMs), () => this.#sendControl('ping'));
  }

  #sendControl(kind: 'ping' | 'pong', data?: Buffer): void {
    if (this.#socket.readyState !== WebSocket.OPEN || this.#controlsWaiting === maxControlsWaiting) return;
    this.#controlsWaiting++;
    this.#socket[kind](data, undefined, () => this.#controlsWaiting--);
  }

  #endAfterSilence(timeoutMs: number): void {
    this.#silence?.stop();
    this.#silence = new HeartbeatMonitor(this.#clock, timeoutMs, () => {
      this.#lostReason ??= `the coordinator was silent for more than ${timeoutMs / 1000} s`;
      this.#socket.terminate();
    });
  }

  close(code: number): void {
    // One that is closing already has something to say still.
    if (this.#socket.readyState === WebSocket.CONNECTING) this.#socket.terminate();
    else this.#socket.close(code);
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    this.#stopClosing ??= this.#clock.after(closeTimeoutMs, () => this.#socket.terminate());
  }

  terminate(): void {
    this.#socket.terminate();
  }

  /** The other side answered over HTTP, and not with a WebSocket: its words are the reason. */
  async #takeRefusal(response: IncomingMessage): Promise<void> {
    const words = await firstWordsOf(response);
    const { statusCode = 0 } = response;
    this.#lostReason ??= words === '' ? `HTTP status ${statusCode} instead of a WebSocket` : words;
    this.#isFinal ||= statusCode === 401 || statusCode === 403;
    this.#socket.terminate();
  }
}

/** The beginning of a refusal's text. */
async function firstWordsOf(response: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const part of response.setEncoding('utf8')) {
      text += part;
      if (text.length > maxRefusal) break;
    }
  } catch {
    // One that was cut short: what came of it has to do.
  }
  return text.slice(0, maxRefusal).trim();
}
