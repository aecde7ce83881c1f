import { describe, expect, it } from 'vitest';
import { ClockOffset } from '../../../../coordinator/monitoring/timeline/clock-offset.js';
import { clockAnswer, clockQuestion, readClockAnswer } from '../../../../shared/protocol/clock-question.js';
import { KeyedRandom } from '../../../../shared/random.js';
import { FakeClock } from '../../../support/fake-clock.js';

/** Asks over a line that takes so long each way, a clock that is ahead by skewMs. */
function ask(offset: ClockOffset, clock: FakeClock, skewMs: number, thereMs: number, backMs: number): void {
  const question = clockQuestion(clock.now());
  clock.advance(thereMs);
  const answer = readClockAnswer(clockAnswer(question, clock.now() + skewMs)!)!;
  clock.advance(backMs);
  offset.add({ ...answer, reachedMs: answer.toldMs, heardMs: clock.now() });
}

describe('the offset of a clock', () => {
  it('is unknown before the first answer', () => {
    expect(new ClockOffset().offsetMs).toBeUndefined();
    expect(new ClockOffset().uncertaintyMs).toBe(Infinity);
  });

  it('is exact where both ways take equally long, and wrong by half of what they differ by', () => {
    const [even, uneven, clock] = [new ClockOffset(), new ClockOffset(), new FakeClock()];
    ask(even, clock, 5000, 3, 3);
    expect(even.offsetMs).toBe(5000);
    // 5000 + (1 - 7) / 2, and at most (1 + 7) / 2 wrong.
    ask(uneven, clock, 5000, 1, 7);
    expect([uneven.offsetMs, uneven.uncertaintyMs]).toEqual([4997, 4]);
  });

  it('is that of the quickest round trip, whatever comes before and after', () => {
    const [offset, clock] = [new ClockOffset(), new FakeClock()];
    const random = new KeyedRandom(5, 'synthesis');
    for (let question = 0; question < 200; question++) {
      const [thereMs, backMs] = [0, 1].map((way) => 0.2 + 40 * random.uniformAt(2 * question + way) ** 3);
      ask(offset, clock, -123_456.25, thereMs, backMs);
      expect(Math.abs(offset.offsetMs! + 123_456.25)).toBeLessThanOrEqual(offset.uncertaintyMs + 1e-9);
      clock.advance(2000);
    }
    expect(offset.uncertaintyMs).toBeLessThan(1);
  });

  it('leaves out the time between a question and its answer at the other end', () => {
    const offset = new ClockOffset();
    // 10 there, 500 until it is answered, 10 back; 1000 ahead.
    offset.add({ askedMs: 0, reachedMs: 1010, toldMs: 1510, heardMs: 520 });
    expect([offset.offsetMs, offset.uncertaintyMs]).toEqual([1000, 10]);
  });

  it('is not taken from what cannot be', () => {
    const offset = new ClockOffset();
    offset.add({ askedMs: 0, reachedMs: 0, toldMs: 100, heardMs: 50 });
    expect(offset.offsetMs).toBeUndefined();
  });
});

describe('a ping', () => {
  it('that asks for nothing is answered by its pong alone', () => {
    expect(clockAnswer(Buffer.alloc(0), 1)).toBeUndefined();
    expect(readClockAnswer(Buffer.alloc(8))).toBeUndefined();
    expect(readClockAnswer(clockQuestion(7))).toBeUndefined();
    const noTime = Buffer.alloc(16);
    noTime.writeDoubleLE(NaN, 8);
    expect(readClockAnswer(noTime)).toBeUndefined();
  });
});
