// What a plan of faults is made of, and that it follows from its seed alone.
import { describe, expect, it } from 'vitest';
import { moments, planFaults, type Fault, type PlanOptions } from '../../../../cli/machine/chaos/fault-plan.js';

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
function countBy(faults: readonly Fault[], keyOf: (fault: Fault) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const key of faults.map(keyOf)) counts[key] = (counts[key] ?? 0) + 1;
  return counts;
}

describe('a plan of faults', () => {
  it('is the same for the same seed, and another for another', () => {
    expect(planFaults(options)).toEqual(plan);
    expect(planFaults({ ...options, seed: 1 })).not.toEqual(plan);
  });

  it('has as many faults as asked for, in the order of their steps, none in the first', () => {
    expect(plan).toHaveLength(100);
    const steps = plan.map(({ step }) => step);
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
    expect(steps[0]).toBeGreaterThan(1);
    expect(steps.at(-1)).toBeLessThanOrEqual(200);
  });

  it('has every kind, kills most, at every moment and for every worker', () => {
    const kinds = countBy(plan, ({ blow }) => blow.kind);
    expect(Object.keys(kinds).toSorted()).toEqual(['delay', 'disconnect', 'freeze', 'kill', 'stall', 'throttle']);
    expect(kinds['kill']).toBeGreaterThan(30);
    expect(Object.keys(countBy(plan, ({ moment }) => moment)).toSorted()).toEqual([...moments].toSorted());
    expect(Object.keys(countBy(plan, ({ worker }) => String(worker))).toSorted()).toEqual(['0', '1', '2']);
  });

  it('has freezes that outlast the silence limit and freezes that do not', () => {
    const pauses = plan.flatMap(({ blow }) => (blow.kind === 'freeze' ? [blow.forMs] : []));
    expect(pauses.some((ms) => ms > 5_000)).toBe(true);
    expect(pauses.some((ms) => ms < 5_000)).toBe(true);
  });

  it('cuts a transfer only of a worker that takes the place of one just killed', () => {
    const cuts = plan.flatMap((fault, index) => (fault.moment === 'in-transfer' ? [[plan[index - 1], fault]] : []));
    expect(cuts.length).toBeGreaterThan(3);
    for (const [before, cut] of cuts) {
      expect(before).toMatchObject({ blow: { kind: 'kill' }, worker: cut.worker, step: cut.step });
    }
  });

  it('has nothing in validation where nothing validates, and no freeze where processes cannot be frozen', () => {
    const poorer = planFaults({ ...options, validationSteps: [], canFreeze: false });
    expect(poorer.filter(({ moment, blow }) => moment === 'in-validation' || blow.kind === 'freeze')).toEqual([]);
    expect(plan.filter(({ moment }) => moment === 'in-validation').every(({ step }) => step % 50 === 0)).toBe(true);
  });

  it('strikes many times a step where there are more faults than steps', () => {
    const dense = planFaults({ ...options, steps: 3, validationSteps: [] });
    expect(dense).toHaveLength(100);
    expect(new Set(dense.map(({ step }) => step))).toEqual(new Set([2, 3]));
  });
});
