// A connection to the coordinator in this thread: a WebSocket with heartbeats.
import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { minTls, type ClientTls } from '../../shared/protocol/client-tls.js';
import { machineMs, type Clock } from '../../shared/clock.js';
import { explainConnectionError } from '../../shared/protocol/connection-error.js';
import { clockReply } from '../../shared/protocol/clock-query.js';
import { HeartbeatMonitor } from '../../shared/protocol/heartbeat.js';
import { maxMessageBytes, type CoordinatorLink, type LinkHandlers, type HeartbeatOptions } from './coordinator-link.js';

/** For the answer to the upgrade, and to the hello after it. */
const handshakeTimeoutMs = 10_000;
/** Limit for the text of an HTTP response that refuses the upgrade. */
const maxRefusalCharacters = 1_000;
/** For the coordinator to close its side. */
const closeTimeoutMs = 3_000;
/** Limit for queued pings and pongs: a coordinator that pings but does not read must not fill the memory. */
const maxQueuedControls = 16;
/** Longest timer in Node.js, which fires longer ones after a millisecond. */
const maxTimerMs = 2 ** 31 - 1;

export class SocketLink implements CoordinatorLink {
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  #heartbeat: HeartbeatMonitor | undefined;
  #stopPinging: () => void = () => undefined;
  #cancelCloseTimeout: (() => void) | undefined;
  #queuedControls = 0;
  #lostReason: string | undefined;
  #isFinal = false;

  constructor(url: string, handlers: LinkHandlers, clock: Clock, tls: ClientTls = {}) {
    this.#clock = clock;
    this.#socket = new WebSocket(`${url.replace(/\/$/, '')}/worker`, {
      perMessageDeflate: false,
      // Answered below, with a limit.
      autoPong: false,
      handshakeTimeout: handshakeTimeoutMs,
      maxPayload: maxMessageBytes,
      // Masks protect proxies from malicious scripts in browsers. With zeros, both sides skip the masking.
      generateMask: (mask) => mask.fill(0),
      ...tls,
      minVersion: minTls,
    });
    this.#socket.on('unexpected-response', (_, response) => void this.#readRefusal(response));
    this.#socket.on('upgrade', ({ socket }) => {
      // Not earlier: data that came with the upgrade would reach only this listener, not ws.
      this.#socket.once('open', () => {
        this.#terminateAfterSilence(handshakeTimeoutMs);
        // Bytes count, not messages: over a slow link, the weights may take longer than the timeout, and pings queue
        // behind them.
        socket.on('data', () => this.#heartbeat?.heard());
        handlers.onOpen();
      });
    });
    // A Buffer, with the default binaryType.
    this.#socket.on('message', (data) => handlers.onMessage(data as Buffer));
    this.#socket.on('ping', (data: Buffer) => {
      this.#sendControl('pong', data);
      const reply = clockReply(data, machineMs());
      if (reply !== undefined) this.#sendControl('pong', reply);
    });
    this.#socket.on('error', (error) => {
      const { reason, isFinal } = explainConnectionError(error, url);
      this.#lostReason ??= reason;
      this.#isFinal ||= isFinal;
    });
    this.#socket.on('close', (code, reason) => {
      this.#heartbeat?.stop();
      this.#stopPinging();
      this.#cancelCloseTimeout?.();
      handlers.onClosed(this.#lostReason ?? (reason.toString() || `connection closed (${code})`), this.#isFinal);
    });
  }

  send(frame: Uint8Array, onSent?: () => void): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(frame, onSent);
  }

  startHeartbeat({ intervalMs, timeoutMs }: HeartbeatOptions): void {
    this.#terminateAfterSilence(timeoutMs);
    this.#stopPinging = this.#clock.every(Math.min(intervalMs, maxTimerMs), () => this.#sendControl('ping'));
  }

  #sendControl(kind: 'ping' | 'pong', data?: Buffer): void {
    if (this.#socket.readyState !== WebSocket.OPEN || this.#queuedControls === maxQueuedControls) return;
    this.#queuedControls++;
    this.#socket[kind](data, undefined, () => this.#queuedControls--);
  }

  #terminateAfterSilence(timeoutMs: number): void {
    this.#heartbeat?.stop();
    this.#heartbeat = new HeartbeatMonitor(this.#clock, timeoutMs, () => {
      this.#lostReason ??= `the coordinator was silent for more than ${timeoutMs / 1000} s`;
      this.#socket.terminate();
    });
  }

  close(code: number): void {
    // A socket that is closing still has frames to send.
    if (this.#socket.readyState === WebSocket.CONNECTING) this.#socket.terminate();
    else this.#socket.close(code);
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    this.#cancelCloseTimeout ??= this.#clock.after(closeTimeoutMs, () => this.#socket.terminate());
  }

  /** The server answered the upgrade with an HTTP response, whose text is the reason. */
  async #readRefusal(response: IncomingMessage): Promise<void> {
    const text = await beginningOf(response);
    const { statusCode = 0 } = response;
    this.#lostReason ??= text === '' ? `HTTP status ${statusCode} instead of a WebSocket` : text;
    this.#isFinal ||= statusCode === 401 || statusCode === 403;
    this.#socket.terminate();
  }
}

async function beginningOf(response: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const chunk of response.setEncoding('utf8')) {
      text += chunk;
      if (text.length > maxRefusalCharacters) break;
    }
  } catch {
    // The connection broke: use what has arrived.
  }
  return text.slice(0, maxRefusalCharacters).trim();
}
