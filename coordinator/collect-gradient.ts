// Drives one gradient round over the pool: deals the slices, takes the answers, and gives a lost worker's work to others.
import { ProtocolError } from '../shared/errors.js';
import type { ModelLayout } from '../shared/model/layout.js';
import { floatsOf } from '../shared/protocol/frame.js';
import type { GradientMessage } from '../shared/protocol/messages.js';
import { shareSlices } from './assignment.js';
import { GradientRound, type PartialSum, type RoundResult } from './gradient-round.js';
import type { WeightsFrame } from './weights-frame.js';
import type { WorkerPool } from './worker-pool.js';

/** Where a worker's time in a step went, in milliseconds. */
export type WorkerPhases = GradientMessage['phases'];

export interface CollectedGradient extends RoundResult {
  /** Slices that were given to another worker because theirs left. */
  reassignedSlices: number;
  /** Per worker that answered, its phases added up. */
  phases: ReadonlyMap<number, WorkerPhases>;
  /** Milliseconds spent on adding partials. */
  reduceMs: number;
}

/** The sum of a step's gradients over all slices, whoever computes them. Waits as long as there is nobody to ask. */
export async function collectGradient(options: {
  pool: WorkerPool;
  layout: ModelLayout;
  sliceCount: number;
  weights: WeightsFrame;
  signal: AbortSignal;
}): Promise<CollectedGradient> {
  const { pool, layout, sliceCount, weights } = options;
  const round = new GradientRound(sliceCount);
  const phases = new Map<number, WorkerPhases>();
  let reassignedSlices = 0;
  let reduceMs = 0;

  function assignRest(): void {
    const orders = round.assignRest(pool.workers.map((worker) => worker.id));
    for (const { worker, nodes } of orders) pool.get(worker)?.compute(weights, nodes);
  }

  return pool.settle(options.signal, ({ resolve }) => {
    shareSlices(sliceCount, pool.size).forEach((range, index) => {
      const worker = pool.workers[index];
      worker.compute(weights, round.assign(worker.id, range));
    });
    return {
      joined: assignRest,
      left(worker) {
        reassignedSlices += round.release(worker.id);
        assignRest();
      },
      gradient(worker, message, payload) {
        // A late answer to a step that others have finished.
        if (message.step !== weights.step) return;
        const partial = partialOf(message, payload, layout);
        const started = performance.now();
        try {
          if (round.accept(worker.id, partial) === 'duplicate') assignRest();
        } catch (cause) {
          throw new ProtocolError(`an answer that does not fit: ${String(cause)}`, { cause });
        }
        reduceMs += performance.now() - started;
        phases.set(worker.id, addPhases(phases.get(worker.id), message.phases));
        worker.imagesPerSecond = (1000 * message.sampleCount) / (message.phases.augmentMs + message.phases.computeMs);
        if (round.result !== undefined) resolve({ ...round.result, reassignedSlices, phases, reduceMs });
      },
    };
  });
}

/** The payload is the gradient sum, then one statistics vector per slice; both stay where the message lies. */
function partialOf(message: GradientMessage, payload: Uint8Array, layout: ModelLayout): PartialSum {
  const { node } = message;
  if (message.slices.length !== node.count) {
    throw new ProtocolError(`a gradient over ${node.count} slices with ${message.slices.length} reports`);
  }
  const values = floatsOf(payload, layout.trainableSize + node.count * layout.statisticsSize);
  return {
    node,
    gradientSum: values.subarray(0, layout.trainableSize),
    sampleCount: message.sampleCount,
    slices: message.slices.map((report, index) => {
      const first = layout.trainableSize + index * layout.statisticsSize;
      return { ...report, batchStatistics: values.subarray(first, first + layout.statisticsSize) };
    }),
  };
}

function addPhases(sum: WorkerPhases | undefined, more: WorkerPhases): WorkerPhases {
  if (sum === undefined) return more;
  return {
    waitMs: sum.waitMs + more.waitMs,
    augmentMs: sum.augmentMs + more.augmentMs,
    computeMs: sum.computeMs + more.computeMs,
    reduceMs: sum.reduceMs + more.reduceMs,
    sendMs: sum.sendMs + more.sendMs,
  };
}
