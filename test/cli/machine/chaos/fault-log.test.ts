// What became of faults, from what happened and when. Times are milliseconds since the run began.
import { describe, expect, it } from 'vitest';
import { FaultLog, recoveryOf, spreadOf } from '../../../../cli/machine/chaos/fault-log.js';
import type { Fault } from '../../../../cli/machine/chaos/fault-plan.js';

const kill: Fault = { step: 3, moment: 'in-compute', worker: 1, blow: { kind: 'kill' } };
const at = (nowMs: number, others = 2) => ({ nowMs, step: 3, name: 'w2', othersHere: others });
const range = { first: 2, count: 1 };

describe('a log of faults', () => {
  it('tells when the worker was missed and back, when the step was complete, and what of it was computing again', () => {
    const log = new FaultLog(5_000);
    log.ordered(0, [{ first: 0, count: 2 }]);
    log.ordered(1, [range]);
    log.struck(kill, at(1_000));
    log.lost('w2', 'connection closed (1006)', { nowMs: 1_010, step: 3 });
    // The first worker's own order came before; what it is asked for now is the lost worker's.
    log.ordered(0, [range]);
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

  it('reads no recovery from a kill beside another fault, or when nobody was left to take over', () => {
    const log = new FaultLog(5_000);
    log.struck({ ...kill, blow: { kind: 'stall', forMs: 500 } }, { ...at(0), name: 'w1' });
    log.stepComplete(100);
    // The stall is not over.
    log.struck(kill, at(400));
    log.stepComplete(450);
    log.lost('w2', 'gone', { nowMs: 460, step: 4 });
    // Another one in the same step.
    log.struck(kill, { ...at(1_000), name: 'w1' });
    log.struck(kill, { ...at(1_050), name: 'w3' });
    log.stepComplete(1_100);
    log.struck(kill, at(2_000, 0));
    log.stepComplete(2_900);
    expect(recoveryOf(log.records)).toEqual({ recoveryMs: null, beyondMs: null });
  });

  it('reads it from a kill while an earlier one has not been replaced yet', () => {
    const log = new FaultLog(5_000);
    log.struck(kill, at(0));
    log.lost('w2', 'gone', { nowMs: 5, step: 3 });
    log.stepComplete(30);
    log.struck(kill, { ...at(100), name: 'w1', othersHere: 1 });
    log.stepComplete(150);
    // 30 and 50 ms.
    expect(recoveryOf(log.records).recoveryMs).toEqual({ median: 40, worst: 50, n: 2 });
  });

  it('completes a fault in validation with the validation', () => {
    const log = new FaultLog(5_000);
    log.struck({ ...kill, moment: 'in-validation' }, at(0));
    log.stepComplete(10);
    log.validationComplete(70);
    expect(log.records[0].completeAfterMs).toBe(70);
  });

  it('does not blame a fault for a worker that was lost long after it, or twice', () => {
    const log = new FaultLog(1_000);
    log.struck({ ...kill, blow: { kind: 'delay', forMs: 500, delayMs: 20 } }, at(0));
    log.lost('w2', 'silent', { nowMs: 2_500, step: 9 });
    log.struck(kill, at(3_000));
    log.lost('w2', 'closed', { nowMs: 3_001, step: 10 });
    log.lost('w2', 'closed again', { nowMs: 3_500, step: 10 });
    expect(log.unexplained).toEqual([
      { step: 9, name: 'w2', reason: 'silent' },
      { step: 10, name: 'w2', reason: 'closed again' },
    ]);
  });
});

describe('a spread', () => {
  it('is the median, the worst and how many', () => {
    // (2 + 5) / 2.
    expect(spreadOf([5, 1, 9, 2])).toEqual({ median: 3.5, worst: 9, n: 4 });
    expect(spreadOf([])).toBeNull();
  });
});
