// Who looks on while a step's gradients come in. Looking on changes nothing: observers are told, never asked.
import type { SliceRange } from '../../shared/reduction/slices.js';
import type { WorkReason } from '../../shared/monitoring/step-view.js';
import type { WorkerConnection } from '../connections/worker-connection.js';

export interface RoundObserver {
  /** @param step updates made before it */
  begins(step: number): void;
  /** A worker is to compute these, one after the other. */
  asked(worker: WorkerConnection, ranges: readonly SliceRange[], reason: WorkReason): void;
  /** What there is to compute was given out: from here on it is waited for. */
  dealt?(): void;
  /** An answer is here and is about to be looked at and added. */
  receives?(worker: WorkerConnection, range: SliceRange): void;
  /** It was, and others are waited for. */
  received?(): void;
  /** @param counts false where another worker's answer came first, or nobody needs it */
  answered(worker: WorkerConnection, range: SliceRange, counts: boolean): void;
  /** It is waited for longer than others take; others are asked for the same. */
  late(worker: WorkerConnection): void;
  /** What it was asked for will not come. */
  left(worker: WorkerConnection): void;
  /** Every slice is here. */
  ends(): void;
}

/** One that tells all of these; undefined for none. */
export function allOf(observers: readonly (RoundObserver | undefined)[]): RoundObserver | undefined {
  const present = observers.filter((observer) => observer !== undefined);
  if (present.length <= 1) return present[0];
  const tell = (what: (observer: RoundObserver) => void) => {
    for (const observer of present) what(observer);
  };
  return {
    begins: (step) => tell((observer) => observer.begins(step)),
    asked: (...order) => tell((observer) => observer.asked(...order)),
    dealt: () => tell((observer) => observer.dealt?.()),
    receives: (...answer) => tell((observer) => observer.receives?.(...answer)),
    received: () => tell((observer) => observer.received?.()),
    answered: (...answer) => tell((observer) => observer.answered(...answer)),
    late: (worker) => tell((observer) => observer.late(worker)),
    left: (worker) => tell((observer) => observer.left(worker)),
    ends: () => tell((observer) => observer.ends()),
  };
}
