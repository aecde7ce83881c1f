// Times are in milliseconds since the start of the run.
import { describe, expect, it } from 'vitest';
import { FaultLog, recoveryOf, statisticsOf } from '../../../../cli/machine/chaos/fault-log.js';
import type { PlannedFault } from '../../../../cli/machine/chaos/fault-plan.js';

const kill: Pick<PlannedFault, 'trigger' | 'fault'> = { trigger: 'in-compute', fault: { kind: 'kill' } };
const where = { step: 3, name: 'w2', othersHere: 2 };
const range = { first: 2, count: 1 };

describe('FaultLog', () => {
  it('records when the worker was lost and back, when the step was complete, and the time spent recomputing', () => {
    const log = new FaultLog(5_000);
    log.assigned(0, [{ first: 0, count: 2 }]);
    log.assigned(1, [range]);
    log.injected(kill, 1_000, where);
    log.lost('w2', 'connection closed (1006)', 1_010, 3);
    // The first worker already has an assignment. This additional one was reassigned from the lost worker.
    log.assigned(0, [range]);
    log.answered(0, { first: 0, count: 2 }, 400);
    log.answered(0, range, 200);
    log.reassigned(1);
    log.stepComplete(1_300);
    log.joined('w2', 2_000);
    expect(log.records).toEqual([
      {
        step: 3,
        moment: 'in-compute',
        name: 'w2',
        blow: { kind: 'kill' },
        othersHere: 2,
        isAlone: true,
        lost: { afterMs: 10, reason: 'connection closed (1006)' },
        slicesReassigned: 1,
        completeAfterMs: 300,
        recomputeMs: 200,
        backAfterMs: 1_000,
      },
    ]);
    expect(recoveryOf(log.records)).toEqual({
      recoveryMs: { median: 300, worst: 300, n: 1 },
      beyondMs: { median: 100, worst: 100, n: 1 },
    });
  });

  it('measures no recovery from a kill if another fault is in effect or no other worker is left', () => {
    const log = new FaultLog(5_000);
    log.injected({ ...kill, fault: { kind: 'stall', forMs: 500 } }, 0, { ...where, name: 'w1' });
    log.stepComplete(100);
    // The 500 ms stall is still in effect.
    log.injected(kill, 400, where);
    log.stepComplete(450);
    log.lost('w2', 'gone', 460, 4);
    // Two workers are killed in the same step.
    log.injected(kill, 1_000, { ...where, name: 'w1' });
    log.injected(kill, 1_050, { ...where, name: 'w3' });
    log.stepComplete(1_100);
    log.injected(kill, 2_000, { ...where, othersHere: 0 });
    log.stepComplete(2_900);
    expect(recoveryOf(log.records)).toEqual({ recoveryMs: null, beyondMs: null });
  });

  it('measures recovery from a kill before an earlier killed worker is back', () => {
    const log = new FaultLog(5_000);
    log.injected(kill, 0, where);
    log.lost('w2', 'gone', 5, 3);
    log.stepComplete(30);
    log.injected(kill, 100, { ...where, name: 'w1', othersHere: 1 });
    log.stepComplete(150);
    // The recoveries took 30 and 50 ms.
    expect(recoveryOf(log.records).recoveryMs).toEqual({ median: 40, worst: 50, n: 2 });
  });

  it('records a fault during validation as complete when the validation is complete', () => {
    const log = new FaultLog(5_000);
    log.injected({ ...kill, trigger: 'in-validation' }, 0, where);
    log.stepComplete(10);
    log.validationComplete(70);
    expect(log.records[0].completeAfterMs).toBe(70);
  });

  it('does not attribute a loss long after a fault, or a second loss, to that fault', () => {
    const log = new FaultLog(1_000);
    log.injected({ ...kill, fault: { kind: 'delay', forMs: 500, delayMs: 20 } }, 0, where);
    log.lost('w2', 'silent', 2_500, 9);
    log.injected(kill, 3_000, where);
    log.lost('w2', 'closed', 3_001, 10);
    log.lost('w2', 'closed again', 3_500, 10);
    expect(log.unexplained).toEqual([
      { step: 9, name: 'w2', reason: 'silent' },
      { step: 10, name: 'w2', reason: 'closed again' },
    ]);
  });
});

describe('statisticsOf', () => {
  it('returns the median, the worst value and the number of values', () => {
    // The median is (2 + 5) / 2.
    expect(statisticsOf([5, 1, 9, 2])).toEqual({ median: 3.5, worst: 9, n: 4 });
    expect(statisticsOf([])).toBeNull();
  });
});
