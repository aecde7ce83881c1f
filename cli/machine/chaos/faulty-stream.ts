// Bytes from one socket to another as a bad network carries them: late, slowly, or not for a while. Never in another
// order, and none twice: TCP sees to that on real networks too.
import type { Socket } from 'node:net';
import type { Clock } from '../../../shared/clock.js';

/** What is on the way; beyond it the sender is made to wait, as a real network would. */
const maxBytesOnTheWay = 4 << 20;

export interface LinkConditions {
  /** Milliseconds that each byte is late. */
  delayMs: number;
  bytesPerSecond: number;
}

export const healthyLink: LinkConditions = { delayMs: 0, bytesPerSecond: Infinity };

/** Bytes that belong together, and what is to be told when they have been written on and nothing behind them has. */
export interface Portion {
  bytes: Buffer;
  tell?: () => void;
}

export class FaultyStream {
  conditions = healthyLink;
  readonly #source: Socket;
  readonly #target: Socket;
  readonly #clock: Clock;
  readonly #portionsOf: (bytes: Buffer) => Portion[];
  readonly #onTheWay: { portion: Portion; dueMs: number }[] = [];
  #bytesOnTheWay = 0;
  /** When the bytes before will have left, at the conditions's rate. */
  #freeMs = 0;
  #isHeld = false;
  #sourceHasClosed = false;
  #stopTimer: (() => void) | undefined;

  /** @param portionsOf divides bytes where something is to be told; a portion may be empty */
  constructor(source: Socket, target: Socket, clock: Clock, portionsOf: (bytes: Buffer) => Portion[]) {
    this.#source = source;
    this.#target = target;
    this.#clock = clock;
    this.#portionsOf = portionsOf;
    source.on('data', (bytes: Buffer) => this.#take(bytes));
    // A reset is followed by close; the other end is told of it by that.
    source.on('error', () => undefined);
    source.on('close', () => {
      this.#sourceHasClosed = true;
      this.#pump();
    });
    target.on('drain', () => this.#pump());
  }

  /** Nothing passes any more, and nobody is told. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.#pump();
  }

  #take(bytes: Buffer): void {
    const { delayMs, bytesPerSecond } = this.conditions;
    const nowMs = this.#clock.now();
    this.#freeMs = Math.max(nowMs, this.#freeMs) + (1000 * bytes.length) / bytesPerSecond;
    const dueMs = this.#freeMs + delayMs;
    for (const portion of this.#portionsOf(bytes)) this.#onTheWay.push({ portion, dueMs });
    this.#bytesOnTheWay += bytes.length;
    this.#pump();
  }

  #pump(): void {
    while (!this.#isHeld && !this.#target.destroyed && !this.#target.writableNeedDrain) {
      const [next] = this.#onTheWay;
      if (next === undefined) break;
      const waitMs = next.dueMs - this.#clock.now();
      if (waitMs > 0) {
        this.#wakeIn(waitMs);
        break;
      }
      this.#onTheWay.shift();
      const { bytes, tell } = next.portion;
      this.#bytesOnTheWay -= bytes.length;
      if (bytes.length > 0) this.#target.write(bytes);
      tell?.();
    }
    if (this.#target.destroyed) this.#dropAll();
    else if (this.#sourceHasClosed && this.#onTheWay.length === 0 && !this.#isHeld) this.#target.destroySoon();
    if (this.#bytesOnTheWay > maxBytesOnTheWay) this.#source.pause();
    else if (this.#source.isPaused()) this.#source.resume();
  }

  #dropAll(): void {
    this.#stopTimer?.();
    this.#onTheWay.length = 0;
    this.#bytesOnTheWay = 0;
  }

  #wakeIn(waitMs: number): void {
    this.#stopTimer?.();
    this.#stopTimer = this.#clock.after(waitMs, () => this.#pump());
  }
}
