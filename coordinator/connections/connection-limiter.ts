// Limits pending connections, those between TCP accept and an accepted hello, and blocks addresses whose handshakes
// keep failing. Pure except for the clock.
import { isIPv4, isIPv6 } from 'node:net';
import type { Clock } from '../../shared/clock.js';

export interface ConnectionLimits {
  /** Maximum number of pending connections from one address. */
  pendingPerAddress: number;
  /** Maximum number of pending connections from all addresses; beyond it, the oldest one is dropped. */
  pending: number;
  /** Number of failures within `windowMs` at which an address is blocked. */
  failures: number;
  /** Time for which a failure counts, and for which an address is blocked. */
  windowMs: number;
}

/**
 * Returns limits that let all workers connect at once, even from one address (such as a shared tunnel), each along with
 * a browser page and a health check.
 */
export function connectionLimitsFor(slices: number): ConnectionLimits {
  const pendingPerAddress = Math.max(64, 4 * slices);
  return { pendingPerAddress, pending: 4 * pendingPerAddress, failures: 20, windowMs: 60_000 };
}

/** Maximum number of addresses with failures; beyond it, the one whose last counted failure is oldest is forgotten. */
const maxAddresses = 10_000;
/** Maximum number of log lines per window, so that an attacker with many addresses cannot fill the log. */
const maxLines = 50;

interface FailureRecord {
  /** Times of the failures that count toward the next block. */
  times: readonly number[];
  /** The address is blocked until this time; a past time means that it is not blocked. */
  blockedUntilMs: number;
}

export class ConnectionLimiter {
  readonly #limits: ConnectionLimits;
  readonly #clock: Clock;
  readonly #onRefusal: (message: string) => void;
  /** Pending connections by host and port, oldest first. */
  readonly #pending = new Map<string, { address: string; drop: () => void }>();
  readonly #pendingByAddress = new Map<string, number>();
  /** Addresses with failures; the one with the newest failure comes last. */
  readonly #records = new Map<string, FailureRecord>();
  #lineTimes: number[] = [];

  /** @param onRefusal receives log lines about refused connections */
  constructor(limits: ConnectionLimits, clock: Clock, onRefusal: (message: string) => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#onRefusal = onRefusal;
  }

  /** Number of pending connections. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * Registers a connection that was just accepted.
   * @param drop ends the connection, to make room for another one
   * @returns whether the connection is allowed
   */
  arrived(host: string, port: number, drop: () => void): boolean {
    const address = addressOf(host);
    const pendingHere = this.#pendingByAddress.get(address) ?? 0;
    if (this.#isBlocked(address)) return false;
    if (pendingHere >= this.#limits.pendingPerAddress) return false;
    if (this.#pending.size >= this.#limits.pending) {
      const [oldest, { drop: dropOldest }] = [...this.#pending.entries()][0];
      this.#remove(oldest);
      dropOldest();
    }
    this.#pending.set(`${host} ${port}`, { address, drop });
    this.#pendingByAddress.set(address, pendingHere + 1);
    return true;
  }

  /** Stops counting a connection as pending, because it has been admitted or has closed. */
  settled(host: string, port: number): void {
    this.#remove(`${host} ${port}`);
  }

  /**
   * Counts a failed handshake or a worker's protocol violation, unless the address is already blocked. Logs the first
   * failure of an address within the window, and the failure that causes the address to be blocked.
   */
  failed(host: string, reason: string): void {
    const address = addressOf(host);
    if (this.#isBlocked(address)) return;
    const { failures, windowMs } = this.#limits;
    const now = this.#clock.now();
    const times = [...this.#inWindow(this.#records.get(address)?.times ?? []), now];
    const isBlocked = times.length >= failures;
    this.#record(address, isBlocked ? { times: [], blockedUntilMs: now + windowMs } : { times, blockedUntilMs: now });
    if (times.length === 1) this.#log(`refused ${host}: ${reason}`);
    if (isBlocked) {
      const seconds = windowMs / 1000;
      this.#log(
        `blocked ${address} for ${seconds} s after ${failures} failures within ${seconds} s; last failure: ${reason}`,
      );
    }
  }

  #isBlocked(address: string): boolean {
    return this.#clock.now() < (this.#records.get(address)?.blockedUntilMs ?? 0);
  }

  #record(address: string, record: FailureRecord): void {
    this.#records.delete(address);
    this.#records.set(address, record);
    if (this.#records.size > maxAddresses) {
      const [oldest] = this.#records.keys();
      this.#records.delete(oldest);
    }
  }

  #remove(key: string): void {
    const connection = this.#pending.get(key);
    if (connection === undefined) return;
    this.#pending.delete(key);
    const left = this.#pendingByAddress.get(connection.address)! - 1;
    if (left > 0) this.#pendingByAddress.set(connection.address, left);
    else this.#pendingByAddress.delete(connection.address);
  }

  #log(line: string): void {
    this.#lineTimes = [...this.#inWindow(this.#lineTimes), this.#clock.now()];
    if (this.#lineTimes.length < maxLines) this.#onRefusal(line);
    if (this.#lineTimes.length === maxLines) {
      this.#onRefusal('too many refused connections: further ones are not logged for a while');
    }
  }

  #inWindow(times: readonly number[]): number[] {
    const start = this.#clock.now() - this.#limits.windowMs;
    return times.filter((time) => time > start);
  }
}

/**
 * Returns the address that limits apply to: an IPv4 address (also if mapped to IPv6), or the /64 network of an IPv6
 * address, because a single host usually has a whole /64.
 */
function addressOf(host: string): string {
  const plain = host.replace(/^::ffff:/i, '');
  if (isIPv4(plain) || !isIPv6(plain)) return plain;
  const [head, tail = ''] = plain.split('%')[0].split('::');
  const groups = head === '' ? [] : head.split(':');
  const missing = 8 - groups.length - (tail === '' ? 0 : tail.split(':').length);
  const network = [...groups, ...Array.from({ length: Math.max(0, missing) }, () => '0')].slice(0, 4);
  return `${network.join(':')}::/64`;
}
