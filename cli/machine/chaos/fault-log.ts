// Records the effect of each fault: when its worker was lost, when the step was complete nevertheless, and when the worker
// was back. Knows no clock: every call carries the time.
import { medianOf } from '../../../shared/median.js';
import type { SliceRange } from '../../../shared/reduction/slices.js';
import type { Fault, PlannedFault, Trigger } from './fault-plan.js';

/** The field names are those of `chaos --json`. */
export interface FaultRecord {
  /** The step that was running, or whose validation was; counted from 1. */
  step: number;
  moment: Trigger;
  /** Name of the worker. */
  name: string;
  blow: Fault;
  /** Number of other workers. */
  othersHere: number;
  /** Whether no other fault was in effect or injected before the step was complete. */
  isAlone: boolean;
  /** When and why the coordinator lost the worker, or null if it did not. */
  lost: { afterMs: number; reason: string } | null;
  /** Slices of the step that were reassigned, because of this fault or another. */
  slicesReassigned: number;
  /** From the fault to the end of the step or validation; null if the run ended earlier. */
  completeAfterMs: number | null;
  /** Part of that: the time the slowest worker spent on reassigned slices. */
  recomputeMs: number;
  /** When the worker had rejoined; null if it never left, or did not rejoin before the end. */
  backAfterMs: number | null;
}

/** A worker that was lost although none of its faults explains it. */
export interface UnexplainedLoss {
  step: number;
  name: string;
  reason: string;
}

interface OpenRecord {
  record: FaultRecord;
  injectedMs: number;
  effectEndsMs: number;
  /** By worker: the slice ranges that were reassigned to it since, and its time for them. */
  reassigned: Map<number, { ranges: SliceRange[]; ms: number }>;
}

export class FaultLog {
  readonly unexplained: UnexplainedLoss[] = [];
  readonly #heartbeatTimeoutMs: number;
  readonly #all: OpenRecord[] = [];
  /** Workers that have received an assignment in the running step. */
  readonly #assigned = new Set<number>();

  /** @param heartbeatTimeoutMs how long after a fault its worker may still be lost because of it */
  constructor(heartbeatTimeoutMs: number) {
    this.#heartbeatTimeoutMs = heartbeatTimeoutMs;
  }

  get records(): readonly FaultRecord[] {
    return this.#all.map(({ record }) => record);
  }

  injected(
    { trigger, fault }: Pick<PlannedFault, 'trigger' | 'fault'>,
    nowMs: number,
    where: Pick<FaultRecord, 'step' | 'name' | 'othersHere'>,
  ): void {
    // A worker that is away delays nobody: its work was reassigned when it was lost.
    const inEffect = this.#all.filter(
      ({ record, effectEndsMs }) => record.completeAfterMs === null || effectEndsMs > nowMs,
    );
    for (const { record } of inEffect) if (record.completeAfterMs === null) record.isAlone = false;
    const { step, name, othersHere } = where;
    this.#all.push({
      record: {
        step,
        moment: trigger,
        name,
        blow: fault,
        othersHere,
        isAlone: inEffect.length === 0,
        lost: null,
        slicesReassigned: 0,
        completeAfterMs: null,
        recomputeMs: 0,
        backAfterMs: null,
      },
      injectedMs: nowMs,
      effectEndsMs: nowMs + ('forMs' in fault ? fault.forMs : 0),
      reassigned: new Map(),
    });
  }

  /** @param step the running one */
  lost(name: string, reason: string, nowMs: number, step: number): void {
    const open = this.#lastOf(name);
    if (open?.record.lost === null && nowMs < open.effectEndsMs + 2 * this.#heartbeatTimeoutMs) {
      open.record.lost = { afterMs: nowMs - open.injectedMs, reason };
    } else {
      this.unexplained.push({ step, name, reason });
    }
  }

  joined(name: string, nowMs: number): void {
    const open = this.#lastOf(name);
    if (open === undefined) return;
    const { record, injectedMs } = open;
    if (record.lost !== null && record.backAfterMs === null) record.backAfterMs = nowMs - injectedMs;
  }

  /** Slice ranges of the running step were assigned to a worker. All but its first assignment in a step are reassigned. */
  assigned(worker: number, ranges: readonly SliceRange[]): void {
    const isReassigned = this.#assigned.has(worker);
    this.#assigned.add(worker);
    if (!isReassigned) return;
    for (const { reassigned } of this.#incomplete()) {
      const before = reassigned.get(worker) ?? { ranges: [], ms: 0 };
      reassigned.set(worker, { ...before, ranges: [...before.ranges, ...ranges] });
    }
  }

  /** A worker answered for a slice range. @param ms its computing time */
  answered(worker: number, range: SliceRange, ms: number): void {
    for (const { reassigned } of this.#incomplete()) {
      const own = reassigned.get(worker);
      if (own?.ranges.some(({ first, count }) => first === range.first && count === range.count)) own.ms += ms;
    }
  }

  /** Slices of the running step, which is about to be complete, were reassigned. */
  reassigned(slices: number): void {
    for (const { record } of this.#incomplete()) record.slicesReassigned = slices;
  }

  stepComplete(nowMs: number): void {
    this.#complete(nowMs, ({ moment }) => moment !== 'in-validation');
    this.#assigned.clear();
  }

  validationComplete(nowMs: number): void {
    this.#complete(nowMs, ({ moment }) => moment === 'in-validation');
  }

  #lastOf(name: string): OpenRecord | undefined {
    return this.#all.findLast(({ record }) => record.name === name);
  }

  #incomplete(): OpenRecord[] {
    return this.#all.filter(({ record }) => record.completeAfterMs === null);
  }

  #complete(nowMs: number, isComplete: (record: FaultRecord) => boolean): void {
    for (const { record, injectedMs, reassigned } of this.#incomplete()) {
      if (!isComplete(record)) continue;
      record.completeAfterMs = nowMs - injectedMs;
      record.recomputeMs = Math.max(0, ...[...reassigned.values()].map(({ ms }) => ms));
    }
  }
}

export interface Statistics {
  median: number;
  worst: number;
  n: number;
}

/** Null without values. */
export function statisticsOf(values: readonly number[]): Statistics | null {
  if (values.length === 0) return null;
  return { median: medianOf(values), worst: values.reduce((worst, value) => Math.max(worst, value)), n: values.length };
}

/**
 * The time from SIGKILL to the completion of the step, over kills that had no other fault in effect and left another worker to
 * recover.
 * @returns the whole time, and the part beyond recomputing what was lost
 */
export function recoveryOf(records: readonly FaultRecord[]) {
  const kills = records.flatMap(({ blow, moment, isAlone, othersHere, completeAfterMs, recomputeMs }) =>
    blow.kind === 'kill' && moment !== 'in-validation' && isAlone && othersHere > 0 && completeAfterMs !== null
      ? [{ completeAfterMs, recomputeMs }]
      : [],
  );
  return {
    recoveryMs: statisticsOf(kills.map(({ completeAfterMs }) => completeAfterMs)),
    beyondMs: statisticsOf(kills.map(({ completeAfterMs, recomputeMs }) => completeAfterMs - recomputeMs)),
  };
}
