// Assigns work to workers, collects their answers, and recovers from departures and stragglers, for gradients as well
// as for evaluations. A Job defines the work; a WorkTracker tracks assignments and answers.
import type { Clock } from '../../shared/clock.js';
import { ProtocolError } from '../../shared/errors.js';
import type { WorkReason } from '../../shared/monitoring/step-view.js';
import { describeRange, sameRange, type SliceRange } from '../../shared/reduction/slices.js';
import type { AnswerMessage } from '../connections/connection-handlers.js';
import type { WorkerConnection } from '../connections/worker-connection.js';
import { interruption, type MessageArray, type WorkerPool } from '../connections/worker-pool.js';
import type { NewRunEvent } from '../run/run-events.js';
import { sliceCountOf, type Assignment } from '../scheduling/assignment.js';
import { availableWorkers } from '../scheduling/slice-scheduler.js';
import { StragglerWatch, type ItemDurations } from '../scheduling/straggler-watch.js';
import { WorkTracker } from './work-tracker.js';

/** Work to distribute: items (slices or shards) 0 to itemCount − 1, all computed with the same weights. */
export interface Job<Answer, Result> {
  readonly step: number;
  readonly itemCount: number;
  /** Aligned ranges of the items to compute at first; all items by default. */
  readonly wanted?: readonly SliceRange[];
  /** Whether the job goes on until it is abandoned, because extend() may add items when all have been answered. */
  readonly isOpenEnded?: boolean;
  /** Durations of items of this kind in this and earlier jobs. */
  readonly durations: ItemDurations;
  /** Receives the events of the job; undefined if they are not needed. */
  readonly publish?: ((event: NewRunEvent) => void) | undefined;
  /** Returns the initial assignments. */
  start(work: WorkTracker, workers: readonly WorkerConnection[]): Assignment[];
  /** Returns assignments of open items, which are neither assigned nor answered, to these workers. */
  assignOpen(work: WorkTracker, workers: readonly WorkerConnection[]): Assignment[];
  /** Returns assignments of a straggler's ranges to idle workers, in addition to the straggler. */
  assignAgain(work: WorkTracker, ranges: readonly SliceRange[], idle: readonly WorkerConnection[]): Assignment[];
  /** Returns assignments whose answers do not count; they measure the speed of idle workers. */
  probe?(idle: readonly WorkerConnection[]): Assignment[];
  send(worker: WorkerConnection, ranges: SliceRange[]): void;
  /** Returns the range that a message answers, or undefined if the message does not belong to this job. */
  rangeOf(message: AnswerMessage): SliceRange | undefined;
  /** Throws ProtocolError for a malformed answer. */
  parse(message: AnswerMessage, payload: Uint8Array): Answer;
  /**
   * Accepts the first answer for a range. May throw an error, with which the job fails.
   * @returns arrays in this answer or earlier ones whose memory is no longer needed; the rest is kept for the result
   */
  accept(worker: WorkerConnection, answer: Answer): readonly MessageArray[];
  /** Returns the job's result. Called when every item has been answered, unless the job is open-ended. */
  result(recovery: Recovery): Result;
  /** Tells a worker that the answers that it owes are no longer needed, if that is worth it. */
  cancel?(worker: WorkerConnection): void;
  /** Called when the job has ended: it is complete, failed, or was abandoned. */
  ended?(): void;
}

/** A worker that took too long, and the workers that its items were also assigned to. */
export interface Straggler {
  name: string;
  slices: number;
  speculative: readonly string[];
}

/** Departures and stragglers that a job recovered from. */
export interface Recovery {
  /** Number of items that were reassigned because their worker left. */
  reassigned: number;
  stragglers: readonly Straggler[];
}

export class Dispatcher {
  /** The job that is running. */
  #current: { extend: (ranges: readonly SliceRange[]) => void; abandon: (reason: unknown) => void } | undefined;
  readonly #pool: WorkerPool;
  readonly #clock: Clock;
  readonly #stragglerFactor: number;
  readonly #signal: AbortSignal;

  /**
   * @param stragglerFactor an item that takes longer than this many times the median duration is also assigned to an
   * idle worker; 0 to disable this
   * @param signal after it is aborted, a job is abandoned as soon as no worker is connected
   */
  constructor(pool: WorkerPool, clock: Clock, stragglerFactor: number, signal: AbortSignal) {
    this.#pool = pool;
    this.#clock = clock;
    this.#stragglerFactor = stragglerFactor;
    this.#signal = signal;
  }

  /**
   * Runs a job to completion; waits while no workers are connected. Rejects if the job throws an error or is abandoned.
   * The result may refer to the memory of the answers and is valid until the next job.
   */
  async run<Answer, Result>(job: Job<Answer, Result>): Promise<Result> {
    this.#pool.reuseAnswers();
    const running = new RunningJob(job, this.#pool, this.#clock, this.#stragglerFactor);
    const signal = this.#signal;
    let stopListening = () => {};
    let giveUp = () => {};
    const stop = () => {
      signal.removeEventListener('abort', giveUp);
      stopListening();
      running.stop();
      this.#current = undefined;
    };
    try {
      return await new Promise<Result>((resolve, reject) => {
        this.#current = {
          extend: (ranges) => running.extend(ranges),
          abandon(reason) {
            stop();
            reject(reason);
          },
        };
        giveUp = () => {
          if (signal.aborted && this.#pool.size === 0) reject(interruption(signal));
        };
        running.start();
        stopListening = this.#pool.listen({
          joined: () => running.continue(),
          left: (worker) => {
            running.left(worker);
            giveUp();
          },
          answered: (worker, message, payload) => running.answered(worker, message, payload, { resolve, reject }),
        });
        signal.addEventListener('abort', giveUp);
        giveUp();
      });
    } finally {
      // After abandon(), the next job may be running already.
      if (!running.isStopped) stop();
    }
  }

  /** Adds items to the running job, as aligned ranges without items that are still to be answered. */
  extend(ranges: readonly SliceRange[]): void {
    this.#current?.extend(ranges);
  }

  /** Makes run() reject with this reason. Does nothing if no job is running. */
  abandon(reason: unknown): void {
    this.#current?.abandon(reason);
  }
}

class RunningJob<Answer, Result> {
  readonly #job: Job<Answer, Result>;
  readonly #pool: WorkerPool;
  readonly #clock: Clock;
  readonly #work: WorkTracker;
  readonly #watch: StragglerWatch;
  readonly #probes = new Map<number, SliceRange>();
  readonly #stragglers: Straggler[] = [];
  #isStopped = false;
  #stopTimer: () => void = () => undefined;

  constructor(job: Job<Answer, Result>, pool: WorkerPool, clock: Clock, stragglerFactor: number) {
    this.#job = job;
    this.#pool = pool;
    this.#clock = clock;
    this.#work = new WorkTracker(job.itemCount, job.wanted);
    this.#watch = new StragglerWatch(job.durations, stragglerFactor);
  }

  start(): void {
    const { workers, size } = this.#pool;
    this.#publish({ type: 'step-started' });
    if (size > 0) this.#assign(this.#job.start(this.#work, workers), 'assigned');
    this.#sendProbes();
    this.#helpStragglers();
    this.#publish({ type: 'broadcast' });
  }

  /** Assigns open items and helps stragglers, for example when a worker has joined or left. */
  continue(): void {
    if (this.#work.hasOpen) {
      const reason = this.#work.reassigned > 0 ? 'reassigned' : 'assigned';
      const workers = availableWorkers(this.#pool.workers, this.#job.step);
      this.#assign(this.#job.assignOpen(this.#work, workers), reason);
    }
    this.#helpStragglers();
  }

  extend(ranges: readonly SliceRange[]): void {
    this.#work.want(ranges);
    this.continue();
  }

  left({ id, name }: WorkerConnection): void {
    this.#watch.left(id);
    this.#publish({ type: 'work-lost', worker: { id, name } });
    this.#work.release(id);
    this.continue();
  }

  answered(
    worker: WorkerConnection,
    message: AnswerMessage,
    payload: Uint8Array,
    settle: { resolve: (result: Result) => void; reject: (error: unknown) => void },
  ): void {
    const range = this.#job.rangeOf(message);
    if (range === undefined) return;
    const { id, name } = worker;
    const handled = (counted: boolean) =>
      this.#publish({
        type: 'answer-handled',
        worker: { id, name },
        range,
        counted,
        remaining: this.#work.remaining,
      });
    if (this.#isProbe(id, range)) return handled(false);
    this.#publish({ type: 'answer-received', worker: { id, name }, range });
    if (!this.#work.isAssigned(id, range)) {
      throw new ProtocolError(`a worker answered ${describeRange(range)}, which it had not been assigned`);
    }
    const answer = this.#job.parse(message, payload);
    const isAccepted = this.#work.answer(id, range) === 'accepted';
    try {
      if (isAccepted) this.#pool.reuseAnswer(this.#job.accept(worker, answer));
    } catch (error) {
      return settle.reject(error);
    }
    this.#watchNext(worker);
    if (this.#work.remaining > 0 || this.#job.isOpenEnded === true) this.continue();
    else {
      this.#cancelRest();
      settle.resolve(this.#job.result({ reassigned: this.#work.reassigned, stragglers: this.#stragglers }));
    }
    handled(isAccepted);
  }

  /** Cancels the work of workers that were too late: others have answered for them. */
  #cancelRest(): void {
    for (const worker of this.#pool.workers) {
      if (this.#work.assignedTo(worker.id).length > 0) this.#job.cancel?.(worker);
    }
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopTimer();
    this.#job.ended?.();
  }

  #assign(assignments: readonly Assignment[], reason: WorkReason): void {
    for (const assignment of assignments) {
      const { worker: id, ranges } = assignment;
      const worker = this.#pool.get(id)!;
      if (this.#work.assignedTo(id).length === 0) {
        const itemCount = worker.relayed === undefined ? ranges[0].count : sliceCountOf(ranges);
        this.#watch.started(id, Math.max(1, itemCount / worker.parallelism), this.#clock.now());
      }
      this.#work.assign(assignment);
      this.#send(worker, ranges, reason);
    }
  }

  /** Notes that a worker has answered, and continues with its next range. A relay computes all of its ranges at once. */
  #watchNext({ id, relayed }: WorkerConnection): void {
    const now = this.#clock.now();
    const [next] = this.#work.assignedTo(id);
    if (relayed !== undefined && next !== undefined) return;
    this.#watch.answered(id, now);
    if (next !== undefined) this.#watch.started(id, next.count, now);
  }

  #send(worker: WorkerConnection, ranges: SliceRange[], reason: WorkReason): void {
    this.#publish({ type: 'work-assigned', worker: { id: worker.id, name: worker.name }, ranges, reason });
    this.#job.send(worker, ranges);
  }

  /**
   * Assigns the work of stragglers to idle workers as well, and sets a timer for the next time that a worker becomes a
   * straggler.
   */
  #helpStragglers(): void {
    this.#stopTimer();
    const now = this.#clock.now();
    for (const id of this.#watch.stragglers(now)) {
      const straggler = this.#pool.get(id)!;
      const ranges = this.#work.assignedOnlyTo(id);
      const assignments = this.#job.assignAgain(this.#work, ranges, this.#idleWorkers());
      if (assignments.length === 0) continue;
      const slices = sliceCountOf(assignments.flatMap((assignment) => assignment.ranges));
      const speculative = assignments.map(({ worker }) => this.#pool.get(worker)!.name);
      this.#stragglers.push({ name: straggler.name, slices, speculative });
      this.#publish({ type: 'worker-late', worker: { id, name: straggler.name } });
      this.#assign(assignments, 'speculative');
    }
    const nextMs = this.#watch.nextDeadlineMs(now);
    if (nextMs < Infinity) this.#stopTimer = this.#clock.after(nextMs - now, () => this.#helpStragglers());
  }

  #sendProbes(): void {
    for (const { worker, ranges } of this.#job.probe?.(this.#idleWorkers()) ?? []) {
      this.#probes.set(worker, ranges[0]);
      this.#send(this.#pool.get(worker)!, ranges, 'probe');
    }
  }

  #isProbe(worker: number, range: SliceRange): boolean {
    const probe = this.#probes.get(worker);
    return probe !== undefined && sameRange(probe, range) && this.#probes.delete(worker);
  }

  #idleWorkers(): WorkerConnection[] {
    const { step } = this.#job;
    return this.#pool.workers.filter(
      ({ id, load }) => this.#work.assignedTo(id).length === 0 && !load.isBusyBefore(step),
    );
  }

  #publish(event: NewRunEvent): void {
    this.#job.publish?.(event);
  }
}
