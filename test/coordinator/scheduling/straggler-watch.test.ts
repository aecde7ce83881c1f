import { describe, expect, it } from 'vitest';
import { ItemDurations, StragglerWatch } from '../../../coordinator/scheduling/straggler-watch.js';

/** Returns the durations in a run after `count` slices that took `sliceMs` each. */
function durationsOf(sliceMs: number, count = 8): ItemDurations {
  const durations = new ItemDurations();
  for (let slice = 0; slice < count; slice++) durations.record(sliceMs, 1);
  return durations;
}

describe('a worker is a straggler', () => {
  it('after a multiple of the median time per slice', () => {
    const watch = new StragglerWatch(durationsOf(200), 3);
    watch.started(1, 1, 1000);
    // The slice started at 1000 ms, and the limit is 3 × 200 ms.
    expect(watch.nextDeadlineMs(1000)).toBe(1600);
    expect(watch.stragglers(1599)).toEqual([]);
    expect(watch.stragglers(1600)).toEqual([1]);
    expect(watch.nextDeadlineMs(1600)).toBe(Infinity);
  });

  it('later if it computes more slices', () => {
    const watch = new StragglerWatch(durationsOf(200), 3);
    watch.started(1, 4, 0);
    // The limit for four slices is 4 × 3 × 200 ms.
    expect(watch.nextDeadlineMs(0)).toBe(2400);
  });

  it('by the time since its last answer', () => {
    const watch = new StragglerWatch(durationsOf(200), 2);
    watch.started(1, 1, 0);
    watch.answered(1, 300);
    expect(watch.nextDeadlineMs(300)).toBe(Infinity);
    watch.started(1, 1, 300);
    // The last answer was at 300 ms, and the limit is 2 × 200 ms.
    expect(watch.nextDeadlineMs(300)).toBe(700);
  });

  it('after 100 ms at the earliest', () => {
    const watch = new StragglerWatch(durationsOf(1), 3);
    watch.started(1, 1, 0);
    expect(watch.nextDeadlineMs(0)).toBe(100);
  });

  it('never with a factor of 0', () => {
    const watch = new StragglerWatch(durationsOf(1), 0);
    watch.started(1, 1, 0);
    expect(watch.stragglers(1e9)).toEqual([]);
  });

  it('later before the eighth answer, because the first slices wait for shards', () => {
    const few = new StragglerWatch(durationsOf(200, 7), 3);
    few.started(1, 1, 0);
    // Before the eighth answer, the limit is ten times as long, 10 × 3 × 200 ms = 6 s, but at least a minute.
    expect(few.nextDeadlineMs(0)).toBe(60_000);
    few.started(1, 20, 0);
    // The limit for 20 slices is 20 × 10 × 3 × 200 ms.
    expect(few.nextDeadlineMs(0)).toBe(120_000);
    few.started(2, 2, 0);
    // The eighth answer took 400 ms for two slices, 200 ms each. From then on, the limit is 20 × 3 × 200 ms.
    few.answered(2, 400);
    expect(few.nextDeadlineMs(0)).toBe(12_000);
  });

  it('never before the first answer, when no duration is known', () => {
    const watch = new StragglerWatch(new ItemDurations(), 3);
    watch.started(1, 1, 0);
    expect(watch.nextDeadlineMs(0)).toBe(Infinity);
  });

  it('no longer after it has left', () => {
    const watch = new StragglerWatch(durationsOf(1), 3);
    watch.started(1, 1, 0);
    watch.left(1);
    expect(watch.stragglers(1000)).toEqual([]);
    expect(watch.nextDeadlineMs(0)).toBe(Infinity);
  });
});
