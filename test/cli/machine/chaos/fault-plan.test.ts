import { describe, expect, it } from 'vitest';
import { planFaults, triggers, type PlannedFault, type PlanOptions } from '../../../../cli/machine/chaos/fault-plan.js';

const options: PlanOptions = {
  seed: 0,
  faults: 100,
  workers: 3,
  steps: 200,
  validationSteps: [50, 100, 150, 200],
  heartbeatTimeoutMs: 5_000,
  canFreeze: true,
};

const plan = planFaults(options);
function countBy(faults: readonly PlannedFault[], keyOf: (planned: PlannedFault) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const key of faults.map(keyOf)) counts[key] = (counts[key] ?? 0) + 1;
  return counts;
}

describe('planFaults', () => {
  it('returns the same plan for the same options, and another plan for another seed', () => {
    expect(planFaults(options)).toEqual(plan);
    expect(planFaults({ ...options, seed: 1 })).not.toEqual(plan);
  });

  it('returns the requested number of faults in the order of their steps, none of them in the first step', () => {
    expect(plan).toHaveLength(100);
    const steps = plan.map(({ step }) => step);
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
    expect(steps[0]).toBeGreaterThan(1);
    expect(steps.at(-1)).toBeLessThanOrEqual(200);
  });

  it('uses every kind, trigger and worker, and kills most often', () => {
    const kinds = countBy(plan, ({ fault }) => fault.kind);
    expect(Object.keys(kinds).toSorted()).toEqual(['delay', 'disconnect', 'freeze', 'kill', 'stall', 'throttle']);
    expect(kinds['kill']).toBeGreaterThan(30);
    expect(Object.keys(countBy(plan, ({ trigger }) => trigger)).toSorted()).toEqual([...triggers].toSorted());
    expect(Object.keys(countBy(plan, ({ worker }) => String(worker))).toSorted()).toEqual(['0', '1', '2']);
  });

  it('includes freezes longer and shorter than the heartbeat timeout', () => {
    const pauses = plan.flatMap(({ fault }) => (fault.kind === 'freeze' ? [fault.forMs] : []));
    expect(pauses.some((ms) => ms > 5_000)).toBe(true);
    expect(pauses.some((ms) => ms < 5_000)).toBe(true);
  });

  it('interrupts transfers only to a worker that replaces one that was just killed', () => {
    const cuts = plan.flatMap((planned, index) =>
      planned.trigger === 'in-transfer' ? [[plan[index - 1], planned]] : [],
    );
    expect(cuts.length).toBeGreaterThan(3);
    for (const [before, cut] of cuts) {
      expect(before).toMatchObject({ fault: { kind: 'kill' }, worker: cut.worker, step: cut.step });
    }
  });

  it('has no faults during validation if there is none, and no freezes if processes cannot be frozen', () => {
    const limited = planFaults({ ...options, validationSteps: [], canFreeze: false });
    expect(limited.filter(({ trigger, fault }) => trigger === 'in-validation' || fault.kind === 'freeze')).toEqual([]);
    expect(plan.filter(({ trigger }) => trigger === 'in-validation').every(({ step }) => step % 50 === 0)).toBe(true);
  });

  it('has several faults per step if there are more faults than steps', () => {
    const dense = planFaults({ ...options, steps: 3, validationSteps: [] });
    expect(dense).toHaveLength(100);
    expect(new Set(dense.map(({ step }) => step))).toEqual(new Set([2, 3]));
  });
});
