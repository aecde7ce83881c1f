// The view of a step, from what an observer of its round is told; and the same as lanes and in words.
import { describe, expect, it } from 'vitest';
import { StepTracker } from '../../../../coordinator/monitoring/dashboard/step-tracker.js';
import type { WorkerConnection } from '../../../../coordinator/connections/worker-connection.js';
import { describeStep, describeTrouble, lanesOf, troubledLanes } from '../../../../web/dashboard/step-lanes.js';
import { FakeClock } from '../../../support/fake-clock.js';

// All that a painter looks at.
const worker = (id: number, name: string) => ({ id, name }) as WorkerConnection;
const [ada, grace, spare] = [worker(1, 'ada'), worker(2, 'grace'), worker(3, 'spare')];
const range = (first: number, count = 1) => ({ first, count });

function start() {
  const clock = new FakeClock();
  return { clock, painter: new StepTracker(clock) };
}

/** Slices 0 and 1 are ada's, one range each, 2 and 3 are grace's; ada leaves after 300 ms and the spare takes over. */
function takeover() {
  const { clock, painter } = start();
  painter.begins(13);
  painter.asked(ada, [range(0), range(1)], 'assigned');
  painter.asked(grace, [range(2, 2)], 'assigned');
  clock.advance(200);
  painter.answered(grace, range(2, 2), true);
  clock.advance(100);
  painter.left(ada);
  painter.asked(spare, [range(0, 2)], 'reassigned');
  clock.advance(100);
  return { clock, painter };
}

describe('the view of a step', () => {
  it('shows a lost worker and who took over, while it goes on', () => {
    const { painter } = takeover();
    const view = painter.toShow!;
    expect(view).toMatchObject({ step: 14, elapsedMs: 400, isOver: false });
    expect(lanesOf(view, [grace, spare], 400)).toEqual([
      { worker: 2, name: 'grace', bars: [bar('2–3', 'counted', 0, 200)] },
      { worker: 3, name: 'spare', bars: [{ ...bar('0–1', 'running', 300, 400), isTakeover: true }] },
      // The second range never began: one bar says both.
      { worker: 1, name: 'ada', bars: [bar('0, 1', 'lost', 0, 300)] },
    ]);
    expect(describeStep(view, [grace, spare])).toBe(
      'Step 14, after 400 ms: grace has answered 2–3; spare took over and computes 0–1; ada was lost with 0–1.',
    );
    expect(troubledLanes(lanesOf(view, [grace, spare], 400)).map(({ name }) => name)).toEqual(['spare', 'ada']);
    expect(describeTrouble(view)).toBe('ada was lost with slices 0–1; spare took over slices 0–1.');
  });

  it('is the one of that moment, whatever comes later', () => {
    const { clock, painter } = takeover();
    const view = painter.toShow!;
    const asItWas = structuredClone(view);
    clock.advance(100);
    painter.answered(spare, range(0, 2), true);
    painter.ends();
    expect(painter.toShow).not.toEqual(asItWas);
    expect(view).toEqual(asItWas);
  });

  it('keeps the latest one with trouble', () => {
    const { clock, painter } = takeover();
    painter.answered(spare, range(0, 2), true);
    painter.ends();
    painter.begins(14);
    painter.asked(spare, [range(0, 4)], 'assigned');
    clock.advance(600);
    painter.ends();
    expect(painter.toShow).toMatchObject({ step: 15, elapsedMs: 600, isOver: true });
    expect(painter.latestEventful).toMatchObject({ view: { step: 14, elapsedMs: 400 }, agoMs: 600 });
  });

  it('shows the step before, whole, until the running one has run for a while', () => {
    const { clock, painter } = start();
    painter.begins(0);
    painter.asked(ada, [range(0, 4)], 'assigned');
    clock.advance(40);
    expect(painter.toShow).toMatchObject({ step: 1, isOver: false });
    painter.answered(ada, range(0, 4), true);
    painter.ends();
    painter.begins(1);
    clock.advance(40);
    expect(painter.toShow).toMatchObject({ step: 1, isOver: true, elapsedMs: 40 });
    clock.advance(300);
    expect(painter.toShow).toMatchObject({ step: 2, isOver: false, elapsedMs: 340 });
  });

  it('shows a straggler, who helps, and an answer that came too late', () => {
    const { clock, painter } = start();
    painter.begins(0);
    painter.asked(ada, [range(0)], 'assigned');
    clock.advance(500);
    painter.late(ada);
    painter.asked(spare, [range(0)], 'late');
    clock.advance(100);
    expect(describeStep(painter.toShow!, [ada, spare])).toBe(
      'Step 1, after 600 ms: ada is late with 0; spare took over and computes 0.',
    );
    painter.answered(spare, range(0), true);
    painter.answered(ada, range(0), false);
    painter.ends();
    expect(describeTrouble(painter.latestEventful!.view)).toBe(
      'ada was late with slice 0; spare computed slice 0 too.',
    );
    expect(lanesOf(painter.toShow!, [], 600).map(({ bars }) => bars[0].look)).toEqual(['unneeded', 'counted']);
  });
});

function bar(label: string, look: string, startMs: number, endMs: number) {
  return { label, look, isTakeover: false, startMs, endMs };
}
