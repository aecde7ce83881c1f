// Records the effect of each fault: when its worker was lost, when the step was completed despite the fault, and when
// the worker rejoined. It has no clock: callers pass the current time.
import { medianOf } from '../../../shared/median.js';
import type { SliceRange } from '../../../shared/reduction/slices.js';
import type { Fault, PlannedFault, Trigger } from './fault-plan.js';

/** The effect of one fault. The field names are part of the output of `chaos --json`. */
export interface FaultRecord {
  /** One-based number of the step that was running, or of the step whose validation was running. */
  step: number;
  moment: Trigger;
  /** Name of the worker. */
  name: string;
  blow: Fault;
  /** Number of other connected workers. */
  othersHere: number;
  /**
   * True if no other fault was in effect when this one was injected, and none was injected before the step was
   * complete.
   */
  isAlone: boolean;
  /** Time from the fault until the coordinator lost the worker, and the reason; null if the worker was not lost. */
  lost: { afterMs: number; reason: string } | null;
  /** Number of slices of the step that were reassigned, because of this fault or another. */
  slicesReassigned: number;
  /** Time from the fault to the end of the step or validation; null if the run ended earlier. */
  completeAfterMs: number | null;
  /** Part of `completeAfterMs`: the longest time that any one worker spent on reassigned slices. */
  recomputeMs: number;
  /** Time from the fault until the worker rejoined; null if it was never lost, or did not rejoin before the end. */
  backAfterMs: number | null;
}

/** Loss of a worker that is not attributed to any fault. */
export interface UnexplainedLoss {
  step: number;
  name: string;
  reason: string;
}

interface OpenRecord {
  record: FaultRecord;
  injectedMs: number;
  effectEndsMs: number;
  /** For each worker, the slice ranges that were reassigned to it since the fault, and the time it spent on them. */
  reassigned: Map<number, { ranges: SliceRange[]; ms: number }>;
}

export class FaultLog {
  readonly unexplained: UnexplainedLoss[] = [];
  readonly #heartbeatTimeoutMs: number;
  readonly #all: OpenRecord[] = [];
  /** Workers that have received an assignment in the current step. */
  readonly #assigned = new Set<number>();

  /** @param heartbeatTimeoutMs a loss is attributed to a fault that ended less than twice this time ago */
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
    // A disconnected worker does not delay the step: its work was reassigned when it was lost.
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

  /** Records the loss of a worker. @param step one-based number of the running step */
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

  /**
   * Records an assignment in the current step. Every assignment to a worker after its first one in a step is a
   * reassignment.
   */
  assigned(worker: number, ranges: readonly SliceRange[]): void {
    const isReassigned = this.#assigned.has(worker);
    this.#assigned.add(worker);
    if (!isReassigned) return;
    for (const { reassigned } of this.#incomplete()) {
      const before = reassigned.get(worker) ?? { ranges: [], ms: 0 };
      reassigned.set(worker, { ...before, ranges: [...before.ranges, ...ranges] });
    }
  }

  /** Records an answer for a slice range. @param ms time that the worker spent computing it */
  answered(worker: number, range: SliceRange, ms: number): void {
    for (const { reassigned } of this.#incomplete()) {
      const own = reassigned.get(worker);
      if (own?.ranges.some(({ first, count }) => first === range.first && count === range.count)) own.ms += ms;
    }
  }

  /** Records how many slices were reassigned in the current step. Called just before the step is complete. */
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

/** Returns the median, the maximum and the number of values, or null if there are no values. */
export function statisticsOf(values: readonly number[]): Statistics | null {
  if (values.length === 0) return null;
  return { median: medianOf(values), worst: values.reduce((worst, value) => Math.max(worst, value)), n: values.length };
}

/**
 * Computes statistics of the time from SIGKILL to the completion of the step. Includes only kills that left at least
 * one other worker connected, and that did not overlap with another fault.
 * @returns `recoveryMs`, the total time, and `beyondMs`, the part not spent on recomputing lost slices
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
