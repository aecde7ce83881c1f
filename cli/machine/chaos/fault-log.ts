// What became of each fault: when its worker was missed, how long the running step took to be complete nevertheless, when
// the worker was back. Pure: what happened is told to it, with the time.
import { medianOf } from '../../../shared/median.js';
import type { SliceRange } from '../../../shared/reduction/slices.js';
import type { Fault } from './fault-plan.js';

export interface FaultRecord {
  /** The step that was running, or that was validated; counted from 1. */
  step: number;
  moment: Fault['moment'];
  /** The worker's. */
  name: string;
  blow: Fault['blow'];
  /** Workers that the coordinator had besides. */
  othersHere: number;
  /** No other fault was in effect, and none struck before the step was complete. */
  isAlone: boolean;
  /** When the coordinator missed the worker, and why; null where it did not. */
  lost: { afterMs: number; reason: string } | null;
  /** Slices of the step that went to other workers, whoever's they were. */
  slicesReassigned: number;
  /** From the blow to the end of the running step, or of the validation. Null where the run ended before. */
  completeAfterMs: number | null;
  /** Of that: the time of computing what was taken over, by the slowest of those who took over. */
  recomputeMs: number;
  /** When the worker was in the pool again; null where it never left or did not come back before the end. */
  backAfterMs: number | null;
}

/** A worker that was lost, and no fault of its own can be the reason. */
export interface Unexplained {
  step: number;
  name: string;
  reason: string;
}

interface OpenRecord {
  record: FaultRecord;
  /** Counted from 0. */
  worker: number;
  struckMs: number;
  /** Until then its effect lasts. */
  effectEndsMs: number;
  /** Nodes taken over since, and the time they took, by worker. */
  takenOver: Map<number, { ranges: SliceRange[]; ms: number }>;
}

export class FaultLog {
  readonly unexplained: Unexplained[] = [];
  readonly #heartbeatTimeoutMs: number;
  readonly #all: OpenRecord[] = [];
  /** Workers that have had an order in the running step. */
  readonly #ordered = new Set<number>();

  /** @param heartbeatTimeoutMs so long after a fault its worker may still be missed because of it */
  constructor(heartbeatTimeoutMs: number) {
    this.#heartbeatTimeoutMs = heartbeatTimeoutMs;
  }

  get records(): readonly FaultRecord[] {
    return this.#all.map(({ record }) => record);
  }

  struck(fault: Fault, at: { nowMs: number } & Pick<FaultRecord, 'step' | 'name' | 'othersHere'>): void {
    const { nowMs, step, name, othersHere } = at;
    // A worker that is away holds nobody up any more: its work went to others when it was missed.
    const inEffect = this.#all.filter(
      ({ record, effectEndsMs }) => record.completeAfterMs === null || effectEndsMs > nowMs,
    );
    for (const { record } of inEffect) if (record.completeAfterMs === null) record.isAlone = false;
    this.#all.push({
      record: {
        step,
        moment: fault.moment,
        name,
        blow: fault.blow,
        othersHere,
        isAlone: inEffect.length === 0,
        lost: null,
        slicesReassigned: 0,
        completeAfterMs: null,
        recomputeMs: 0,
        backAfterMs: null,
      },
      worker: fault.worker,
      struckMs: nowMs,
      effectEndsMs: nowMs + ('forMs' in fault.blow ? fault.blow.forMs : 0),
      takenOver: new Map(),
    });
  }

  /** @param step the running one */
  lost(name: string, reason: string, at: { nowMs: number; step: number }): void {
    const { nowMs, step } = at;
    const open = this.#all.findLast(({ record }) => record.name === name);
    if (open?.record.lost === null && nowMs < open.effectEndsMs + 2 * this.#heartbeatTimeoutMs) {
      open.record.lost = { afterMs: nowMs - open.struckMs, reason };
    } else {
      this.unexplained.push({ step, name, reason });
    }
  }

  joined(name: string, nowMs: number): void {
    const open = this.#all.findLast(({ record }) => record.name === name);
    if (open !== undefined && isAway(open.record)) open.record.backAfterMs = nowMs - open.struckMs;
  }

  /** A worker was asked for ranges of the running step. Its second order in a step is work that others have lost. */
  ordered(worker: number, ranges: readonly SliceRange[]): void {
    const isTakeover = this.#ordered.has(worker);
    this.#ordered.add(worker);
    if (!isTakeover) return;
    for (const { takenOver } of this.#incomplete()) {
      const before = takenOver.get(worker) ?? { ranges: [], ms: 0 };
      takenOver.set(worker, { ...before, ranges: [...before.ranges, ...ranges] });
    }
  }

  /** A worker answered for a range, which took it so long to compute. */
  answered(worker: number, range: SliceRange, ms: number): void {
    for (const { takenOver } of this.#incomplete()) {
      const taken = takenOver.get(worker);
      if (taken?.ranges.some(({ first, count }) => first === range.first && count === range.count)) taken.ms += ms;
    }
  }

  /** Slices of the running step, which is about to be complete, went to others. */
  reassigned(slices: number): void {
    for (const { record } of this.#incomplete()) record.slicesReassigned = slices;
  }

  stepComplete(nowMs: number): void {
    this.#complete(nowMs, (record) => record.moment !== 'in-validation');
    this.#ordered.clear();
  }

  validationComplete(nowMs: number): void {
    this.#complete(nowMs, (record) => record.moment === 'in-validation');
  }

  #incomplete(): OpenRecord[] {
    return this.#all.filter(({ record }) => record.completeAfterMs === null);
  }

  #complete(nowMs: number, isMeant: (record: FaultRecord) => boolean): void {
    for (const { record, struckMs, takenOver } of this.#incomplete()) {
      if (!isMeant(record)) continue;
      record.completeAfterMs = nowMs - struckMs;
      record.recomputeMs = Math.max(0, ...[...takenOver.values()].map(({ ms }) => ms));
    }
  }
}

function isAway({ lost, backAfterMs }: FaultRecord): boolean {
  return lost !== null && backAfterMs === null;
}

export interface Spread {
  median: number;
  worst: number;
  n: number;
}

/** Null where there is nothing. */
export function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  return { median: medianOf(values), worst: values.reduce((worst, value) => Math.max(worst, value)), n: values.length };
}

/**
 * From SIGKILL to the step's completion, over the kills from which it can be read: no other fault was in effect, and
 * somebody was left to take over.
 * @returns the whole, and what is left of it beyond the time of computing again what was lost
 */
export function recoveryOf(records: readonly FaultRecord[]): { recoveryMs: Spread | null; beyondMs: Spread | null } {
  const kills = records.flatMap(({ blow, moment, isAlone, othersHere, completeAfterMs, recomputeMs }) =>
    blow.kind === 'kill' && moment !== 'in-validation' && isAlone && othersHere > 0 && completeAfterMs !== null
      ? [{ completeAfterMs, recomputeMs }]
      : [],
  );
  return {
    recoveryMs: spreadOf(kills.map(({ completeAfterMs }) => completeAfterMs)),
    beyondMs: spreadOf(kills.map(({ completeAfterMs, recomputeMs }) => completeAfterMs - recomputeMs)),
  };
}
