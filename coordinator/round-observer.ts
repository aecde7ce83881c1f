// Who looks on while a step's gradients come in. Looking on changes nothing: observers are told, never asked.
import type { SliceRange } from '../shared/slices.js';
import type { WorkReason } from '../shared/watching/step-picture.js';
import type { WorkerConnection } from './worker-connection.js';

export interface RoundObserver {
  /** @param step updates made before it */
  begins(step: number): void;
  /** A worker is to compute these, one after the other. */
  asked(worker: WorkerConnection, nodes: readonly SliceRange[], reason: WorkReason): void;
  /** @param counts false where another worker's answer came first, or nobody needs it */
  answered(worker: WorkerConnection, node: SliceRange, counts: boolean): void;
  /** It is waited for longer than others take; others are asked for the same. */
  late(worker: WorkerConnection): void;
  /** What it was asked for will not come. */
  left(worker: WorkerConnection): void;
  /** Every slice is here. */
  ends(): void;
}
