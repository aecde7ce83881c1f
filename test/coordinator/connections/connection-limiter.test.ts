import { describe, expect, it, vi } from 'vitest';
import { ConnectionLimiter } from '../../../coordinator/connections/connection-limiter.js';
import { FakeClock } from '../../support/fake-clock.js';

const limits = { pendingPerAddress: 2, pending: 3, failures: 3, windowMs: 60_000 };

function guardWith() {
  const clock = new FakeClock();
  const said: string[] = [];
  return { clock, said, guard: new ConnectionLimiter(limits, clock, (line) => said.push(line)) };
}
const nothing = () => undefined;

describe('pending', () => {
  it('of one address are at most so many, until one joins or goes', () => {
    const { guard } = guardWith();
    expect([1, 2, 3].map((port) => guard.arrived('10.0.0.1', port, nothing))).toEqual([true, true, false]);
    expect(guard.arrived('10.0.0.2', 1, nothing)).toBe(true);
    guard.settled('10.0.0.1', 2);
    expect(guard.arrived('10.0.0.1', 4, nothing)).toBe(true);
  });

  it('in all are at most so many: the one that has stood longest makes room', () => {
    const { guard } = guardWith();
    const drops = [1, 2, 3, 4].map((host) => {
      const drop = vi.fn<() => void>();
      expect(guard.arrived(`10.0.0.${host}`, 7, drop)).toBe(true);
      return drop.mock;
    });
    expect(drops.map(({ calls }) => calls.length)).toEqual([1, 0, 0, 0]);
    expect(guard.pending).toBe(3);
  });

  it.each([
    ['an IPv4 address written as one of IPv6', '::ffff:10.0.0.1', '10.0.0.1'],
    ['a network of IPv6', '2001:db8:1:2::1', '2001:db8:1:2:ffff::9'],
    ['a network of IPv6 with zeros left out', '2001:db8::1', '2001:db8:0:0:7::'],
  ])('of %s are of one address', (_, one, other) => {
    const { guard } = guardWith();
    expect(guard.arrived(one, 1, nothing)).toBe(true);
    expect(guard.arrived(one, 2, nothing)).toBe(true);
    expect(guard.arrived(other, 3, nothing)).toBe(false);
  });
});

describe('an address that keeps failing', () => {
  it('is turned away for a window, with a line at the beginning and one at the end', () => {
    const { guard, clock, said } = guardWith();
    for (let time = 0; time < 3; time++) guard.failed('10.0.0.1', 'a wrong token was given');
    expect(guard.arrived('10.0.0.1', 1, nothing)).toBe(false);
    expect(guard.arrived('10.0.0.2', 1, nothing)).toBe(true);
    expect(said).toEqual([
      '10.0.0.1 was refused: a wrong token was given',
      '10.0.0.1 has failed 3 times within 60 s and is turned away for as long; the last time: a wrong token was given',
    ]);
    clock.advance(59_999);
    expect(guard.arrived('10.0.0.1', 1, nothing)).toBe(false);
    clock.advance(1);
    expect(guard.arrived('10.0.0.1', 1, nothing)).toBe(true);
  });

  it('fills no log with many addresses', () => {
    const { guard, said } = guardWith();
    for (let host = 0; host < 1000; host++) guard.failed(`10.0.${host >> 8}.${host & 255}`, 'no hello came');
    expect(said).toHaveLength(50);
    expect(said.at(-1)).toBe('many are refused at the door: no more lines of it for a while');
  });
});
