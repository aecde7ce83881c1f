// Drives one gradient round over the pool: deals the slices, takes the answers, gives a lost worker's work to others and
// a late worker's to idle ones as well.
import type { Clock } from '../../shared/clock.js';
import { ProtocolError } from '../../shared/errors.js';
import type { ModelLayout } from '../../shared/network/layout.js';
import { floatsOf } from '../../shared/protocol/frame.js';
import type { GradientMessage } from '../../shared/protocol/messages.js';
import { sameRange, type SliceRange } from '../../shared/reduction/slices.js';
import { sliceCountOf, type Order } from '../scheduling/assignment.js';
import { available, type SliceScheduler } from '../scheduling/slice-scheduler.js';
import { isFiniteAnswer, notFiniteAnswer } from './assert-finite.js';
import { GradientRound, type Acceptance, type PartialSum, type RoundResult } from './gradient-round.js';
import type { RoundObserver } from './round-observer.js';
import { StepContributions, type WorkerWork } from './step-contributions.js';
import type { WorkReason } from '../../shared/monitoring/step-view.js';
import { StragglerWatch } from '../scheduling/straggler-watch.js';
import type { WeightsFrame } from '../connections/weights-frame.js';
import type { WorkerConnection } from '../connections/worker-connection.js';
import type { WorkerPool } from '../connections/worker-pool.js';

/** A worker that was late, and who was asked for the same slices. */
export interface Straggler {
  name: string;
  slices: number;
  helpers: readonly string[];
}

export interface CollectedGradient extends RoundResult {
  /** Slices that were given to another worker because theirs left. */
  reassignedSlices: number;
  stragglers: readonly Straggler[];
  /** What each worker did for it, in the order in which they answered first. */
  work: readonly WorkerWork[];
  /** Milliseconds spent on adding partials. */
  reduceMs: number;
}

/**
 * The sum of a step's gradients over all slices, whoever computes them. Waits as long as there is nobody to ask.
 * Rejects with `diverged` where an answer that counts holds NaN or an infinity; their sum may still.
 */
export async function collectGradient(options: {
  pool: WorkerPool;
  layout: ModelLayout;
  sliceCount: number;
  weights: WeightsFrame;
  dealer: SliceScheduler;
  /** A slice later than this many times the median is given to an idle worker too; 0 for never. */
  stragglerFactor: number;
  clock: Clock;
  signal: AbortSignal;
  observer?: RoundObserver | undefined;
}): Promise<CollectedGradient> {
  const { pool, layout, sliceCount, weights, dealer, clock, observer } = options;
  const { step } = weights;
  const round = new GradientRound(sliceCount);
  const watch = new StragglerWatch(dealer.sliceTimes, options.stragglerFactor);
  const work = new StepContributions(clock);
  const stragglers: Straggler[] = [];
  const trials = new Map<number, SliceRange>();
  let reassignedSlices = 0;
  let stopTimer: () => void = () => undefined;

  function send(orders: readonly Order[], reason: WorkReason): void {
    for (const { worker: id, ranges } of orders) {
      const worker = pool.get(id)!;
      observer?.asked(worker, ranges, reason);
      if (round.owedBy(id).length === ranges.length) watch.begins(id, ranges[0].count, clock.now());
      worker.compute(weights, ranges);
    }
  }

  function assignRest(): void {
    const reason = reassignedSlices > 0 ? 'takeover' : 'dealt';
    send(round.assignRest(dealer.candidates(available(pool.workers, step))), reason);
  }

  /** Workers without slices are measured now and then; what they answer is another's to answer. */
  function tryOut(): void {
    for (const { worker, ranges } of dealer.trials(round, pool.workers, step)) {
      trials.set(worker, ranges[0]);
      observer?.asked(pool.get(worker)!, ranges, 'trial');
      pool.get(worker)!.compute(weights, ranges);
    }
  }

  function isTrial({ id }: WorkerConnection, { range }: GradientMessage): boolean {
    const trial = trials.get(id);
    return trial !== undefined && sameRange(trial, range) && trials.delete(id);
  }

  /** Late workers' slices go to those that have nothing to do; then waits for the next one to be late. */
  function helpStragglers(): void {
    stopTimer();
    const now = clock.now();
    for (const late of watch.late(now)) {
      const orders = round.assignAgain(late, dealer.candidates(idleWorkers()));
      if (orders.length === 0) continue;
      observer?.late(pool.get(late)!);
      send(orders, 'late');
      const helpers = orders.map(({ worker }) => pool.get(worker)!.name);
      const slices = sliceCountOf(orders.flatMap(({ ranges }) => ranges));
      stragglers.push({ name: pool.get(late)!.name, slices, helpers });
    }
    const nextMs = watch.nextLateMs(now);
    if (nextMs < Infinity) stopTimer = clock.after(nextMs - now, helpStragglers);
  }

  /** Throws ProtocolError for an answer that this worker does not owe. */
  function accept(worker: WorkerConnection, partial: PartialSum): Acceptance {
    try {
      return work.timed(() => round.accept(worker.id, partial));
    } catch (cause) {
      throw new ProtocolError(`an answer that does not fit: ${String(cause)}`, { cause });
    }
  }

  function idleWorkers(): WorkerConnection[] {
    return pool.workers.filter((worker) => round.owedBy(worker.id).length === 0 && !worker.owesBefore(step));
  }

  try {
    observer?.begins(step);
    return await pool.settle<CollectedGradient>(options.signal, ({ resolve, reject }) => {
      if (pool.size > 0) send(dealer.begin(round, pool.workers, step), 'dealt');
      tryOut();
      helpStragglers();
      observer?.dealt?.();
      return {
        joined() {
          assignRest();
          helpStragglers();
        },
        left(worker) {
          watch.forget(worker.id);
          observer?.left(worker);
          reassignedSlices += round.release(worker.id);
          assignRest();
          helpStragglers();
        },
        gradient(worker, message, payload) {
          // A late answer to a step that others have finished.
          if (message.step !== step) return;
          if (isTrial(worker, message)) return observer?.answered(worker, message.range, false);
          observer?.receives?.(worker, message.range);
          const partial = partialOf(message, payload, layout);
          const acceptance = accept(worker, partial);
          observer?.answered(worker, message.range, acceptance === 'accepted');
          if (acceptance === 'accepted') {
            if (!work.timed(() => isFiniteAnswer(partial))) {
              return reject(notFiniteAnswer(worker.name, step, partial, layout));
            }
            work.counted(worker, message);
          }
          watch.ends(worker.id, clock.now());
          const [next] = round.owedBy(worker.id);
          if (next !== undefined) watch.begins(worker.id, next.count, clock.now());
          const { result } = round;
          if (result !== undefined) return resolve({ ...result, ...work.summary(), reassignedSlices, stragglers });
          assignRest();
          helpStragglers();
          observer?.received?.();
        },
      };
    });
  } finally {
    stopTimer();
    observer?.ends();
  }
}

/** The payload is the gradient sum, then one statistics vector per slice; both stay where the message lies. */
function partialOf(message: GradientMessage, payload: Uint8Array, layout: ModelLayout): PartialSum {
  const { range } = message;
  if (message.slices.length !== range.count) {
    throw new ProtocolError(`a gradient over ${range.count} slices with ${message.slices.length} reports`);
  }
  const values = floatsOf(payload, layout.trainableSize + range.count * layout.statisticsSize);
  return {
    range,
    gradientSum: values.subarray(0, layout.trainableSize),
    sampleCount: message.sampleCount,
    slices: message.slices.map((report, index) => {
      const first = layout.trainableSize + index * layout.statisticsSize;
      return { ...report, batchStatistics: values.subarray(first, first + layout.statisticsSize) };
    }),
  };
}
