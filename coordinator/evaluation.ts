// Validation and test: a split's parts dealt out to whoever is free; results added up in part order.
import type { EvaluationMessage, Piece, Split } from '../shared/protocol/messages.js';
import type { WeightsFrame } from './weights-frame.js';
import type { WorkerConnection } from './worker-connection.js';
import type { WorkerPool } from './worker-pool.js';

export interface Metrics {
  /** The mean softmax cross-entropy of an image. */
  loss: number;
  /** The part of the images whose largest logit is their label's, 0 to 1. */
  accuracy: number;
}

/** What metrics are made of: sums travel, the division happens once. */
export interface BatchSums {
  sampleCount: number;
  lossSum: number;
  correctCount: number;
}

/** Parts that a worker has at a time: one to compute and one to go on with. */
const partsInFlight = 2;

/** Loss and accuracy over all parts of a split. Parts of a worker that leaves go to others. */
export async function evaluateSplit(options: {
  pool: WorkerPool;
  split: Split;
  pieces: readonly Piece[];
  weights: WeightsFrame;
  signal: AbortSignal;
}): Promise<Metrics> {
  const { pool, split, weights } = options;
  const parts = options.pieces.filter((piece) => piece.split === split);
  const waiting = new Set(parts.map((part) => part.index));
  const owed = new Map<number, Set<number>>();
  const results: (EvaluationMessage | undefined)[] = parts.map(() => undefined);

  /** A part that this worker holds, else one that nobody holds, else any: parts seldom travel twice. */
  function choosePartFor(worker: WorkerConnection): Piece | undefined {
    const open = parts.filter((part) => waiting.has(part.index));
    return (
      open.find((part) => worker.holds(part.sha256)) ??
      open.find((part) => !pool.workers.some((other) => other.holds(part.sha256))) ??
      open[0]
    );
  }
  function feed(worker: WorkerConnection): void {
    const owes = owed.get(worker.id) ?? new Set();
    if (owes.size >= partsInFlight) return;
    const part = choosePartFor(worker);
    if (part === undefined) return;
    owed.set(worker.id, owes.add(part.index));
    waiting.delete(part.index);
    worker.evaluate(weights, part);
  }
  /** One part each in turn, so that few parts still reach every worker. */
  function feedAll(): void {
    for (let turn = 0; turn < partsInFlight; turn++) for (const worker of pool.workers) feed(worker);
  }

  return pool.settle<Metrics>(options.signal, ({ resolve }) => {
    feedAll();
    return {
      joined: feedAll,
      left(worker) {
        for (const index of owed.get(worker.id) ?? []) waiting.add(index);
        owed.delete(worker.id);
        feedAll();
      },
      evaluation(worker, message) {
        if (message.step !== weights.step || message.split !== split) return;
        if (owed.get(worker.id)?.delete(message.index) !== true) return;
        results[message.index] = message;
        const done = results.filter((result) => result !== undefined);
        if (done.length === parts.length) resolve(metricsOf(done));
        else feedAll();
      },
    };
  });
}

/** In float64, in the order given. */
export function metricsOf(parts: readonly BatchSums[]): Metrics {
  const { sampleCount, lossSum, correctCount } = parts.reduce(addSums, noSums);
  return { loss: lossSum / sampleCount, accuracy: correctCount / sampleCount };
}

export const noSums: Readonly<BatchSums> = { sampleCount: 0, lossSum: 0, correctCount: 0 };

export function addSums(a: BatchSums, b: BatchSums): BatchSums {
  return {
    sampleCount: a.sampleCount + b.sampleCount,
    lossSum: a.lossSum + b.lossSum,
    correctCount: a.correctCount + b.correctCount,
  };
}
