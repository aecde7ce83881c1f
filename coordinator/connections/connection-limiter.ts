// How many pending may stand at the door, and for how long an address that keeps failing is turned away. A pendingConnection is a
// connection that has not joined: between TCP's accept and a hello that is taken. Pure but for the clock.
import { isIPv4, isIPv6 } from 'node:net';
import type { Clock } from '../../shared/clock.js';

export interface ConnectionLimits {
  /** PendingConnections of one address. */
  pendingPerAddress: number;
  /** PendingConnections in all; where there are more, the one that has stood longest goes. */
  pending: number;
  /** So many failed handshakes of an address within the window turn it away for as long. */
  failures: number;
  windowMs: number;
}

/** All workers of a run may come at once, from one address if it is a tunnel's; each may have a page and a probe beside it. */
export function connectionLimitsFor(slices: number): ConnectionLimits {
  const pendingPerAddress = Math.max(64, 4 * slices);
  return { pendingPerAddress, pending: 4 * pendingPerAddress, failures: 20, windowMs: 60_000 };
}

/** So many addresses' failures are remembered: those that failed longest ago are forgotten first. */
const maxAddresses = 10_000;
/** So many lines a window: who has many addresses fills no log. */
const maxLines = 50;

interface PendingConnection {
  address: string;
  drop: () => void;
}

export class ConnectionLimiter {
  readonly #limits: ConnectionLimits;
  readonly #clock: Clock;
  readonly #tell: (message: string) => void;
  /** By host and port, in the order in which they came. */
  readonly #pending = new Map<string, PendingConnection>();
  readonly #pendingOf = new Map<string, number>();
  /** Moments of failed handshakes, the address with the newest last. */
  readonly #failures = new Map<string, number[]>();
  #lines: number[] = [];

  constructor(limits: ConnectionLimits, clock: Clock, tell: (message: string) => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#tell = tell;
  }

  /** PendingConnections that are here. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * A connection was accepted.
   * @param drop ends it, where room is needed
   * @returns whether it may stay
   */
  arrived(host: string, port: number, drop: () => void): boolean {
    const address = addressOf(host);
    const standing = this.#pendingOf.get(address) ?? 0;
    if (this.#recent(address).length >= this.#limits.failures) return false;
    if (standing >= this.#limits.pendingPerAddress) return false;
    if (this.#pending.size >= this.#limits.pending) {
      const [longest, { drop: dropLongest }] = [...this.#pending.entries()][0];
      this.#forget(longest);
      dropLongest();
    }
    this.#pending.set(`${host} ${port}`, { address, drop });
    this.#pendingOf.set(address, standing + 1);
    return true;
  }

  /** It has joined, or it is gone. */
  settled(host: string, port: number): void {
    this.#forget(`${host} ${port}`);
  }

  #forget(key: string): void {
    const pendingConnection = this.#pending.get(key);
    if (pendingConnection === undefined) return;
    this.#pending.delete(key);
    const left = this.#pendingOf.get(pendingConnection.address)! - 1;
    if (left > 0) this.#pendingOf.set(pendingConnection.address, left);
    else this.#pendingOf.delete(pendingConnection.address);
  }

  /** A handshake failed, or somebody who had joined broke the protocol. Says so for the first of an address's. */
  failed(host: string, why: string): void {
    const address = addressOf(host);
    const recent = this.#recent(address);
    recent.push(this.#clock.now());
    this.#failures.delete(address);
    this.#failures.set(address, recent);
    if (this.#failures.size > maxAddresses) {
      const [oldest] = this.#failures.keys();
      this.#failures.delete(oldest);
    }
    const { failures, windowMs } = this.#limits;
    if (recent.length === 1) this.#say(`${host} was refused: ${why}`);
    if (recent.length === failures) {
      this.#say(
        `${address} has failed ${failures} times within ${windowMs / 1000} s and is turned away for as long; the last time: ${why}`,
      );
    }
  }

  #say(line: string): void {
    const since = this.#clock.now() - this.#limits.windowMs;
    this.#lines = this.#lines.filter((moment) => moment > since);
    this.#lines.push(this.#clock.now());
    if (this.#lines.length < maxLines) this.#tell(line);
    if (this.#lines.length === maxLines) this.#tell('many are refused at the door: no more lines of it for a while');
  }

  /** Of the window that ends now. */
  #recent(address: string): number[] {
    const since = this.#clock.now() - this.#limits.windowMs;
    return (this.#failures.get(address) ?? []).filter((moment) => moment > since);
  }
}

/** Who has one IPv6 address has the 2^64 of its network; an IPv4 address may be written as one of IPv6. */
function addressOf(host: string): string {
  const plain = host.replace(/^::ffff:/i, '');
  if (isIPv4(plain) || !isIPv6(plain)) return plain;
  const [head, tail = ''] = plain.split('%')[0].split('::');
  const groups = head === '' ? [] : head.split(':');
  const missing = 8 - groups.length - (tail === '' ? 0 : tail.split(':').length);
  const network = [...groups, ...Array.from({ length: Math.max(0, missing) }, () => '0')].slice(0, 4);
  return `${network.join(':')}::/64`;
}
