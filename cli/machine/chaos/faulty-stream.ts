// Forwards bytes from one socket to another like a bad network: with latency, limited bandwidth or interruptions. As
// TCP guarantees, bytes stay in order, and none are lost or duplicated.
import type { Socket } from 'node:net';
import type { Clock } from '../../../shared/clock.js';

/** Above this limit, reading from the source is paused, so that TCP flow control slows down the sender. */
const maxBufferedBytes = 4 << 20;

export interface LinkConditions {
  /** Latency added to each byte. */
  delayMs: number;
  bytesPerSecond: number;
}

export const healthyLink: LinkConditions = { delayMs: 0, bytesPerSecond: Infinity };

/** Bytes (possibly none), and a callback that is called after they and before any later bytes have been written. */
export interface Segment {
  bytes: Buffer;
  onWritten?: () => void;
}

export class FaultyStream {
  conditions = healthyLink;
  readonly #source: Socket;
  readonly #target: Socket;
  readonly #clock: Clock;
  readonly #segmentsOf: (bytes: Buffer) => Segment[];
  readonly #queue: (Segment & { dueMs: number })[] = [];
  #bufferedBytes = 0;
  /** Time at which all queued bytes will have been sent at the limited bandwidth. */
  #idleFromMs = 0;
  #isHeld = false;
  #sourceHasClosed = false;
  #stopTimer: (() => void) | undefined;

  /** @param segmentsOf divides bytes into segments */
  constructor(source: Socket, target: Socket, clock: Clock, segmentsOf: (bytes: Buffer) => Segment[]) {
    this.#source = source;
    this.#target = target;
    this.#clock = clock;
    this.#segmentsOf = segmentsOf;
    source.on('data', (bytes: Buffer) => this.#enqueue(bytes));
    // Nothing to do: a 'close' event follows.
    source.on('error', () => undefined);
    source.on('close', () => {
      this.#sourceHasClosed = true;
      this.#forward();
    });
    target.on('drain', () => this.#forward());
  }

  /** Stops forwarding until `release` is called. The sockets stay open. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.#forward();
  }

  #enqueue(bytes: Buffer): void {
    const { delayMs, bytesPerSecond } = this.conditions;
    this.#idleFromMs = Math.max(this.#clock.now(), this.#idleFromMs) + (1000 * bytes.length) / bytesPerSecond;
    const dueMs = this.#idleFromMs + delayMs;
    for (const segment of this.#segmentsOf(bytes)) this.#queue.push({ ...segment, dueMs });
    this.#bufferedBytes += bytes.length;
    this.#forward();
  }

  #forward(): void {
    while (!this.#isHeld && !this.#target.destroyed && !this.#target.writableNeedDrain) {
      const [next] = this.#queue;
      if (next === undefined) break;
      const waitMs = next.dueMs - this.#clock.now();
      if (waitMs > 0) {
        this.#stopTimer?.();
        this.#stopTimer = this.#clock.after(waitMs, () => this.#forward());
        break;
      }
      this.#queue.shift();
      this.#bufferedBytes -= next.bytes.length;
      if (next.bytes.length > 0) this.#target.write(next.bytes);
      next.onWritten?.();
    }
    if (this.#target.destroyed) {
      this.#stopTimer?.();
      this.#queue.length = 0;
      this.#bufferedBytes = 0;
    } else if (this.#sourceHasClosed && this.#queue.length === 0 && !this.#isHeld) this.#target.destroySoon();
    if (this.#bufferedBytes > maxBufferedBytes) this.#source.pause();
    else if (this.#source.isPaused()) this.#source.resume();
  }
}
