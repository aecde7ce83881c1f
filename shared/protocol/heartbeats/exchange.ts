// Heartbeats of one side of a connection: sends them at an interval, answers those of the other side, and detects that
// the other side is silent. Used by the coordinator and by workers, whatever socket they have.
import type { Clock } from '../../clock.js';
import { HeartbeatMonitor } from './monitor.js';
import { encodeHeartbeat, heartbeatIn } from './messages.js';
import type { HeartbeatMessage, HeartbeatReplyMessage } from '../messages.js';

/**
 * Number of unsent bytes above which no heartbeats or replies are sent. Without a limit, a peer that sends heartbeats but
 * reads nothing could exhaust this side's memory. Bytes that are already queued show just as well that this side is alive.
 */
const maxQueuedBytes = 64 * 1024;
/** Longest interval that timers support. With a longer one, they fire after 1 ms. */
const maxTimerMs = 2 ** 31 - 1;

export interface HeartbeatOptions {
  intervalMs: number;
  timeoutMs: number;
}

/** What the exchange needs from a connection. */
export interface HeartbeatConnection {
  /** Sends a frame; drops it if the connection is not open. */
  send: (frame: Uint8Array) => void;
  /** Returns the number of bytes that wait to be sent. */
  queuedBytes: () => number;
  /** Called once, when nothing has arrived for longer than the timeout. */
  onSilent: (timeoutMs: number) => void;
  /** Called with each reply to a heartbeat. */
  onReply?: (reply: HeartbeatReplyMessage) => void;
}

export class HeartbeatExchange {
  readonly #connection: HeartbeatConnection;
  readonly #clock: Clock;
  readonly #timeMs: () => number;
  #monitor: HeartbeatMonitor | undefined;
  #stopSending: () => void = () => undefined;

  /** @param timeMs returns the time that heartbeats and replies carry, in milliseconds; by default, that of the clock */
  constructor(connection: HeartbeatConnection, clock: Clock, timeMs = () => clock.now()) {
    this.#connection = connection;
    this.#clock = clock;
    this.#timeMs = timeMs;
  }

  /** Detects silence from now on, without sending heartbeats. A later call replaces the timeout. */
  detectSilence(timeoutMs: number): void {
    this.#monitor?.stop();
    this.#monitor = new HeartbeatMonitor(this.#clock, timeoutMs, () => this.#connection.onSilent(timeoutMs));
  }

  /**
   * Starts sending heartbeats and detecting silence. A side that sees a message only once all of it has arrived needs a
   * timeout in which the largest message can arrive.
   */
  start({ intervalMs, timeoutMs }: HeartbeatOptions): void {
    this.detectSilence(timeoutMs);
    this.#stopSending();
    this.#stopSending = this.#clock.every(Math.min(intervalMs, maxTimerMs), () => this.sendHeartbeat());
  }

  /** Sends a heartbeat now. */
  sendHeartbeat(): void {
    this.#send({ type: 'heartbeat', sentMs: this.#timeMs() });
  }

  /** Milliseconds since the other side was last heard. */
  get silentMs(): number {
    return this.#monitor?.silentMs ?? 0;
  }

  /** Notes that data has arrived, even if it completes no message. */
  heard(): void {
    this.#monitor?.heard();
  }

  /**
   * Handles the message if it is a valid heartbeat or reply; call this with every message.
   * @returns whether it was one. If not, the message is for someone else, who also rejects invalid heartbeats.
   */
  receive(message: Uint8Array): boolean {
    this.heard();
    const received = heartbeatIn(message);
    if (received === undefined) return false;
    if (received.type === 'heartbeat-reply') this.#connection.onReply?.(received);
    else this.#send({ type: 'heartbeat-reply', sentMs: received.sentMs, repliedMs: this.#timeMs() });
    return true;
  }

  stop(): void {
    this.#monitor?.stop();
    this.#stopSending();
  }

  #send(message: HeartbeatMessage | HeartbeatReplyMessage): void {
    if (this.#connection.queuedBytes() <= maxQueuedBytes) this.#connection.send(encodeHeartbeat(message));
  }
}
