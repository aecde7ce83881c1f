// Connects to the coordinator from the current thread, over a WebSocket with heartbeats.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { minTls, type ClientTls } from '../../shared/protocol/client-tls.js';
import { machineMs, type Clock } from '../../shared/clock.js';
import { explainConnectionError } from '../../shared/protocol/connection-error.js';
import { HeartbeatExchange, type HeartbeatOptions } from '../../shared/protocol/heartbeats/exchange.js';
import { MessageMemory } from '../../shared/protocol/message-memory.js';
import { maxMessageBytes } from '../../shared/protocol/messages.js';
import { closeTimeoutMs, handshakeTimeoutMs, type CoordinatorLink, type LinkHandlers } from './coordinator-link.js';
import { connectGathering } from './gathering-socket.js';

/** Maximum length of the text that is read from an HTTP response that refuses the upgrade. */
const maxRefusalCharacters = 1_000;
/**
 * Maximum number of queued pongs. Without a limit, a coordinator that sends pings but reads nothing could exhaust this
 * process's memory.
 */
const maxQueuedPongs = 16;
/** Number of buffers to keep for large messages: the current weights, and the next ones. */
const maxFreeMemory = 2;

export class SocketLink implements CoordinatorLink {
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  readonly #memory = new MessageMemory(maxFreeMemory);
  readonly #heartbeats: HeartbeatExchange;
  #cancelCloseTimeout: (() => void) | undefined;
  #queuedPongs = 0;
  #lostReason: string | undefined;
  #isFinal = false;

  constructor(url: string, handlers: LinkHandlers, clock: Clock, tls: ClientTls = {}) {
    this.#clock = clock;
    this.#socket = new WebSocket(`${url.replace(/\/$/, '')}/worker`, {
      perMessageDeflate: false,
      // Pings, which lockstep itself does not send, are answered below, where the number of queued pongs is limited.
      autoPong: false,
      handshakeTimeout: handshakeTimeoutMs,
      maxPayload: maxMessageBytes,
      // Masking protects proxies against malicious scripts in browsers and is not needed here. With a mask of zeros,
      // both sides skip it.
      generateMask: (mask) => mask.fill(0),
      ...(url.startsWith('wss:') ? {} : { createConnection: this.#connect.bind(this) }),
      ...tls,
      minVersion: minTls,
    });
    this.#heartbeats = new HeartbeatExchange(
      {
        send: (frame) => this.send(frame),
        queuedBytes: () => this.#socket.bufferedAmount,
        onSilent: (timeoutMs) => {
          this.#lostReason ??= `the coordinator was silent for more than ${timeoutMs / 1000} s`;
          this.#socket.terminate();
        },
      },
      clock,
      machineMs,
    );
    this.#socket.on('unexpected-response', (_, response) => void this.#readRefusal(response));
    this.#socket.on('upgrade', ({ socket }) => {
      // Listen for data only after `open`: an earlier listener would take the data that arrives with the upgrade, and
      // ws would miss it.
      this.#socket.once('open', () => {
        this.#heartbeats.detectSilence(handshakeTimeoutMs);
        // Any received data shows that the coordinator is alive, not only whole messages: over a slow link, the weights
        // may take longer than the timeout, with heartbeats queued behind them.
        socket.on('data', () => this.#heartbeats.heard());
        handlers.onOpen();
      });
    });
    // With ws's default binaryType, the data is a Buffer.
    this.#socket.on('message', (data) => {
      if (!this.#heartbeats.receive(data as Buffer)) handlers.onMessage(data as Buffer);
    });
    this.#socket.on('ping', (data: Buffer) => this.#sendPong(data));
    this.#socket.on('error', (error) => {
      const { reason, isFinal } = explainConnectionError(error, url);
      this.#lostReason ??= reason;
      this.#isFinal ||= isFinal;
    });
    this.#socket.on('close', (code, reason) => {
      this.#heartbeats.stop();
      this.#cancelCloseTimeout?.();
      handlers.onClosed(this.#lostReason ?? (reason.toString() || `connection closed (${code})`), this.#isFinal);
    });
  }

  /** Connects without TLS. */
  #connect(options: object): Socket {
    return connectGathering(
      options,
      // Before the connection is open, a refusal may arrive instead of frames.
      (bytes) =>
        this.#socket.readyState === WebSocket.OPEN && bytes <= maxMessageBytes ? this.#memory.take(bytes) : undefined,
      () => this.#heartbeats.heard(),
    );
  }

  reuse(memory: ArrayBuffer): void {
    this.#memory.giveBack(memory);
  }

  send(frame: Uint8Array): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(frame);
  }

  sendAndReturn(frame: Uint8Array<ArrayBuffer>, onSent: (memory: ArrayBuffer) => void): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(frame, () => onSent(frame.buffer));
  }

  startHeartbeat(options: HeartbeatOptions): void {
    this.#heartbeats.start(options);
  }

  #sendPong(data: Buffer): void {
    if (this.#socket.readyState !== WebSocket.OPEN || this.#queuedPongs === maxQueuedPongs) return;
    this.#queuedPongs++;
    this.#socket.pong(data, undefined, () => this.#queuedPongs--);
  }

  close(code: number): void {
    // Terminate the socket only if it is still connecting; an open or closing socket may have queued frames to send.
    if (this.#socket.readyState === WebSocket.CONNECTING) this.#socket.terminate();
    else this.#socket.close(code);
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    this.#cancelCloseTimeout ??= this.#clock.after(closeTimeoutMs, () => this.#socket.terminate());
  }

  /** Reads the reason for a refusal from the HTTP response that the server sent instead of upgrading. */
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
    // The connection failed: use the text received so far.
  }
  return text.slice(0, maxRefusalCharacters).trim();
}
