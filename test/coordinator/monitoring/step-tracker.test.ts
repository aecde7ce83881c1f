// Tests the view of a step that is derived from run events, and its rendering as lanes and as text.
import { describe, expect, it } from 'vitest';
import { StepTracker } from '../../../coordinator/monitoring/step-tracker.js';
import { RunEventBus } from '../../../coordinator/run/run-event-bus.js';
import type { WorkerRef } from '../../../coordinator/run/run-events.js';
import type { WorkReason } from '../../../shared/monitoring/step-view.js';
import type { SliceRange } from '../../../shared/reduction/slices.js';
import { describeRecovery, describeStep, lanesOf, recoveryLanes } from '../../../web/dashboard/step-lanes.js';
import { FakeClock } from '../../support/fake-clock.js';

const worker = (id: number, name: string): WorkerRef => ({ id, name });
const [ada, grace, spare] = [worker(1, 'ada'), worker(2, 'grace'), worker(3, 'spare')];
const range = (first: number, count = 1): SliceRange => ({ first, count });

/** Creates a tracker and functions that publish events as a run does. */
function startTracker() {
  const clock = new FakeClock();
  const events = new RunEventBus();
  const tracker = new StepTracker(events, clock);
  return {
    clock,
    tracker,
    start: (step: number) => events.publish({ type: 'step-started', step }),
    assign: (to: WorkerRef, ranges: SliceRange[], reason: WorkReason = 'assigned') =>
      events.publish({ type: 'work-assigned', worker: to, ranges, reason }),
    answer: (by: WorkerRef, answered: SliceRange, counted = true) =>
      events.publish({ type: 'answer-handled', worker: by, range: answered, counted, remaining: 0 }),
    late: (straggler: WorkerRef) => events.publish({ type: 'worker-late', worker: straggler }),
    lose: (lost: WorkerRef) => events.publish({ type: 'work-lost', worker: lost }),
    end: () => events.publish({ type: 'gradient-collected' }),
  };
}

/**
 * Assigns slices 0 and 1 to ada as two ranges, and slices 2–3 to grace. ada leaves after 300 ms, and its slices are
 * reassigned to the spare worker.
 */
function startRecovery() {
  const run = startTracker();
  run.start(13);
  run.assign(ada, [range(0), range(1)]);
  run.assign(grace, [range(2, 2)]);
  run.clock.advance(200);
  run.answer(grace, range(2, 2));
  run.clock.advance(100);
  run.lose(ada);
  run.assign(spare, [range(0, 2)], 'reassigned');
  run.clock.advance(100);
  return run;
}

describe('the view of a step', () => {
  it('shows a lost worker and the one its slices were reassigned to, during the step', () => {
    const view = startRecovery().tracker.shown!;
    expect(view).toMatchObject({ step: 14, elapsedMs: 400, isOver: false });
    expect(lanesOf(view, [grace, spare], 400)).toEqual([
      { worker: 2, name: 'grace', bars: [bar('2–3', 'counted', 0, 200)] },
      { worker: 3, name: 'spare', bars: [{ ...bar('0–1', 'running', 300, 400), isRecovery: true }] },
      // The second range was never started, so one bar represents both ranges.
      { worker: 1, name: 'ada', bars: [bar('0, 1', 'lost', 0, 300)] },
    ]);
    expect(describeStep(view, [grace, spare])).toBe(
      'Step 14, after 400 ms: grace answered 2–3; spare computes 0–1 (reassigned); ada was lost with 0–1.',
    );
    expect(recoveryLanes(lanesOf(view, [grace, spare], 400)).map(({ name }) => name)).toEqual(['spare', 'ada']);
    expect(describeRecovery(view)).toBe('ada left before answering slices 0–1; spare computed slices 0–1 instead.');
  });

  it('is a copy that later events do not change', () => {
    const { clock, tracker, answer, end } = startRecovery();
    const view = tracker.shown!;
    const copy = structuredClone(view);
    clock.advance(100);
    answer(spare, range(0, 2));
    end();
    expect(tracker.shown).not.toEqual(copy);
    expect(view).toEqual(copy);
  });

  it('is kept for the last step with a recovery', () => {
    const { clock, tracker, start, assign, answer, end } = startRecovery();
    answer(spare, range(0, 2));
    end();
    start(14);
    assign(spare, [range(0, 4)]);
    clock.advance(600);
    end();
    expect(tracker.shown).toMatchObject({ step: 15, elapsedMs: 600, isOver: true });
    expect(tracker.lastRecovery).toMatchObject({ view: { step: 14, elapsedMs: 400 }, agoMs: 600 });
  });

  it('shows the previous, completed step until the current one has run for a while', () => {
    const { clock, tracker, start, assign, answer, end } = startTracker();
    start(0);
    assign(ada, [range(0, 4)]);
    clock.advance(40);
    expect(tracker.shown).toMatchObject({ step: 1, isOver: false });
    answer(ada, range(0, 4));
    end();
    start(1);
    clock.advance(40);
    expect(tracker.shown).toMatchObject({ step: 1, isOver: true, elapsedMs: 40 });
    clock.advance(300);
    expect(tracker.shown).toMatchObject({ step: 2, isOver: false, elapsedMs: 340 });
  });

  it('shows a straggler, speculative work, and an answer that came too late', () => {
    const { clock, tracker, start, assign, answer, late, end } = startTracker();
    start(0);
    assign(ada, [range(0)]);
    clock.advance(500);
    late(ada);
    assign(spare, [range(0)], 'speculative');
    clock.advance(100);
    expect(describeStep(tracker.shown!, [ada, spare])).toBe(
      'Step 1, after 600 ms: ada is late with 0; spare computes 0 (speculative).',
    );
    answer(spare, range(0));
    answer(ada, range(0), false);
    end();
    expect(describeRecovery(tracker.lastRecovery!.view)).toBe(
      'ada took too long with slice 0; spare also computed slice 0.',
    );
    expect(lanesOf(tracker.shown!, [], 600).map(({ bars }) => bars[0].look)).toEqual(['unneeded', 'counted']);
    expect(describeStep(tracker.shown!, [])).toBe(
      'Step 1, completed in 600 ms: ada was too late with 0; spare answered 0 (speculative).',
    );
  });

  it('shows a probe as work that does not count', () => {
    const { clock, tracker, start, assign, answer, end } = startTracker();
    start(0);
    assign(ada, [range(0)]);
    assign(spare, [range(0)], 'probe');
    clock.advance(300);
    answer(spare, range(0), false);
    expect(describeStep(tracker.shown!, [])).toBe('Step 1, after 300 ms: ada computes 0; spare answered 0 (probe).');
    answer(ada, range(0));
    end();
    expect(lanesOf(tracker.shown!, [], 300).map(({ bars }) => bars[0].look)).toEqual(['counted', 'unneeded']);
    expect(tracker.lastRecovery).toBeUndefined();
  });
});

function bar(label: string, look: string, startMs: number, endMs: number) {
  return { label, look, isRecovery: false, startMs, endMs };
}
