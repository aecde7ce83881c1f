import { describe, expect, it } from 'vitest';
import { ClockOffset } from '../../../../coordinator/monitoring/timeline/clock-offset.js';
import { KeyedRandom } from '../../../../shared/random.js';
import { FakeClock } from '../../../support/fake-clock.js';

/** Adds a sample of a clock that is `skewMs` ahead: the heartbeat takes `thereMs`, and the reply takes `backMs`. */
function sample(offset: ClockOffset, clock: FakeClock, skewMs: number, thereMs: number, backMs: number): void {
  const sentMs = clock.now();
  clock.advance(thereMs);
  const repliedMs = clock.now() + skewMs;
  clock.advance(backMs);
  offset.add({ sentMs, receivedMs: repliedMs, repliedMs, returnedMs: clock.now() });
}

describe('the offset of a clock', () => {
  it('is unknown before the first sample', () => {
    expect(new ClockOffset().offsetMs).toBeUndefined();
    expect(new ClockOffset().uncertaintyMs).toBe(Infinity);
  });

  it('is exact if heartbeat and reply take equally long, and otherwise off by half of the difference', () => {
    const [even, uneven, clock] = [new ClockOffset(), new ClockOffset(), new FakeClock()];
    sample(even, clock, 5000, 3, 3);
    expect(even.offsetMs).toBe(5000);
    // The estimate is 5000 + (1 − 7) / 2 = 4997 ms, with an error of at most (1 + 7) / 2 = 4 ms.
    sample(uneven, clock, 5000, 1, 7);
    expect([uneven.offsetMs, uneven.uncertaintyMs]).toEqual([4997, 4]);
  });

  it('is that of the fastest round trip, in whatever order samples arrive', () => {
    const [offset, clock] = [new ClockOffset(), new FakeClock()];
    const random = new KeyedRandom(5, 'synthesis');
    for (let question = 0; question < 200; question++) {
      const [thereMs, backMs] = [0, 1].map((way) => 0.2 + 40 * random.uniformAt(2 * question + way) ** 3);
      sample(offset, clock, -123_456.25, thereMs, backMs);
      expect(Math.abs(offset.offsetMs! + 123_456.25)).toBeLessThanOrEqual(offset.uncertaintyMs + 1e-9);
      clock.advance(2000);
    }
    expect(offset.uncertaintyMs).toBeLessThan(1);
  });

  it('does not include the time between arrival and reply at the other end', () => {
    const offset = new ClockOffset();
    // The heartbeat takes 10 ms, the reply starts 500 ms later and takes 10 ms; the other clock is 1000 ms ahead.
    offset.add({ sentMs: 0, receivedMs: 1010, repliedMs: 1510, returnedMs: 520 });
    expect([offset.offsetMs, offset.uncertaintyMs]).toEqual([1000, 10]);
  });

  it('ignores a sample with a negative round trip', () => {
    const offset = new ClockOffset();
    offset.add({ sentMs: 0, receivedMs: 0, repliedMs: 100, returnedMs: 50 });
    expect(offset.offsetMs).toBeUndefined();
  });
});
