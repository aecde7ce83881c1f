import { describe, expect, it, vi } from 'vitest';
import { ConnectionLimiter } from '../../../coordinator/connections/connection-limiter.js';
import { FakeClock } from '../../support/fake-clock.js';

const limits = { pendingPerAddress: 2, pending: 3, failures: 3, windowMs: 60_000 };

function createLimiter() {
  const clock = new FakeClock();
  const lines: string[] = [];
  return { clock, lines, limiter: new ConnectionLimiter(limits, clock, (line) => lines.push(line)) };
}
const nothing = () => undefined;

describe('pending connections', () => {
  it('from one address are limited, until one joins or is closed', () => {
    const { limiter } = createLimiter();
    expect([1, 2, 3].map((port) => limiter.arrived('10.0.0.1', port, nothing))).toEqual([true, true, false]);
    expect(limiter.arrived('10.0.0.2', 1, nothing)).toBe(true);
    limiter.settled('10.0.0.1', 2);
    expect(limiter.arrived('10.0.0.1', 4, nothing)).toBe(true);
  });

  it('in total are limited: the oldest one is dropped', () => {
    const { limiter } = createLimiter();
    const drops = [1, 2, 3, 4].map((host) => {
      const drop = vi.fn<() => void>();
      expect(limiter.arrived(`10.0.0.${host}`, 7, drop)).toBe(true);
      return drop.mock;
    });
    expect(drops.map(({ calls }) => calls.length)).toEqual([1, 0, 0, 0]);
    expect(limiter.pending).toBe(3);
  });

  it.each([
    ['an IPv4 address and the same address written as IPv6', '::ffff:10.0.0.1', '10.0.0.1'],
    ['a /64 network of IPv6', '2001:db8:1:2::1', '2001:db8:1:2:ffff::9'],
    ['a /64 network of IPv6 with zeros omitted', '2001:db8::1', '2001:db8:0:0:7::'],
  ])('from %s count as one address', (_, one, other) => {
    const { limiter } = createLimiter();
    expect(limiter.arrived(one, 1, nothing)).toBe(true);
    expect(limiter.arrived(one, 2, nothing)).toBe(true);
    expect(limiter.arrived(other, 3, nothing)).toBe(false);
  });
});

describe('an address that keeps failing', () => {
  it('is blocked for the window, with a log line for the first failure and one for the blocking', () => {
    const { limiter, clock, lines } = createLimiter();
    for (let time = 0; time < 3; time++) limiter.failed('10.0.0.1', 'unknown token');
    expect(limiter.arrived('10.0.0.1', 1, nothing)).toBe(false);
    expect(limiter.arrived('10.0.0.2', 1, nothing)).toBe(true);
    expect(lines).toEqual([
      'refused 10.0.0.1: unknown token',
      'blocked 10.0.0.1 for 60 s after 3 failures within 60 s; last failure: unknown token',
    ]);
    clock.advance(59_999);
    expect(limiter.arrived('10.0.0.1', 1, nothing)).toBe(false);
    clock.advance(1);
    expect(limiter.arrived('10.0.0.1', 1, nothing)).toBe(true);
  });

  it('is blocked for the full window, even if its failures were spread over the window before', () => {
    const { limiter, clock, lines } = createLimiter();
    limiter.failed('10.0.0.1', 'unknown token');
    clock.advance(30_000);
    limiter.failed('10.0.0.1', 'unknown token');
    clock.advance(29_000);
    // The third failure within 60 s, at 59 s, blocks the address until 119 s.
    limiter.failed('10.0.0.1', 'no hello');
    expect(lines.at(-1)).toBe('blocked 10.0.0.1 for 60 s after 3 failures within 60 s; last failure: no hello');
    clock.advance(59_999);
    // A connection that was pending when the address was blocked does not extend the block.
    limiter.failed('10.0.0.1', 'no hello');
    expect(limiter.arrived('10.0.0.1', 1, nothing)).toBe(false);
    clock.advance(1);
    expect(limiter.arrived('10.0.0.1', 1, nothing)).toBe(true);
    expect(lines).toHaveLength(2);
  });

  it('is not blocked if the failures are further apart, and starts from zero after a block', () => {
    const { limiter, clock, lines } = createLimiter();
    for (let time = 0; time < 10; time++) {
      limiter.failed('10.0.0.1', 'unknown token');
      // At most two failures are within 60 s.
      clock.advance(30_000);
    }
    expect(limiter.arrived('10.0.0.1', 1, nothing)).toBe(true);
    for (let time = 0; time < 3; time++) limiter.failed('10.0.0.2', 'unknown token');
    clock.advance(60_000);
    for (let time = 0; time < 2; time++) limiter.failed('10.0.0.2', 'unknown token');
    expect(limiter.arrived('10.0.0.2', 1, nothing)).toBe(true);
    expect(lines.filter((line) => line.startsWith('refused 10.0.0.2'))).toHaveLength(2);
  });

  it('cannot fill the log by using many addresses', () => {
    const { limiter, lines } = createLimiter();
    for (let host = 0; host < 1000; host++) limiter.failed(`10.0.${host >> 8}.${host & 255}`, 'no hello');
    expect(lines).toHaveLength(50);
    expect(lines.at(-1)).toBe('too many refused connections: further ones are not logged for a while');
  });
});
