// Tells the coordinator about the workers behind a relay: who joins and leaves, what they are doing, and when they computed
// what, for timelines.
import type { WorkerConnection } from '../coordinator/connections/worker-connection.js';
import { assignedSlices, stateOf } from '../coordinator/monitoring/worker-activity.js';
import type { RunEventBus } from '../coordinator/run/run-event-bus.js';
import type { RunEventOf } from '../coordinator/run/run-events.js';
import { rangesIn } from '../coordinator/scheduling/assignment.js';
import type { Clock } from '../shared/clock.js';
import type { WorkerMessage } from '../shared/protocol/messages.js';
import { maxStatusesInMessage, type RelayedStatusMessage } from '../shared/protocol/relay-messages.js';
import type { SliceRange } from '../shared/reduction/slices.js';
import type { WorkControls } from '../worker/session.js';
import { RelayedTimings } from './relayed-timings.js';
import type { RelayedRun } from './relayed-run.js';

export class RelayReporter {
  readonly #run: RelayedRun;
  readonly #send: (message: WorkerMessage) => void;
  readonly #controls: Pick<WorkControls, 'rejoin'>;
  readonly #clock: Clock;
  readonly #timings: RelayedTimings;
  /** IDs of the workers that the coordinator knows. */
  readonly #reported = new Set<number>();
  readonly #stops: (() => void)[];

  /** Reports the workers that are connected, and from now on every change until stop() is called. */
  constructor(
    run: RelayedRun,
    events: RunEventBus,
    clock: Clock,
    send: (message: WorkerMessage) => void,
    controls: Pick<WorkControls, 'rejoin'>,
  ) {
    this.#run = run;
    this.#send = send;
    this.#controls = controls;
    this.#clock = clock;
    this.#timings = new RelayedTimings(run, clock);
    const { pool } = run.session;
    for (const worker of pool.workers) this.#report(worker);
    const report = ({ id }: { id: number }) => {
      const worker = pool.get(id);
      if (worker !== undefined) this.#report(worker);
    };
    const onTiming = ({ worker, timing }: RunEventOf<'worker-timing'>) => this.#timings.report(worker.id, timing);
    const onSample = ({ worker, sample }: RunEventOf<'clock-sample'>) => this.#timings.addSample(worker.id, sample);
    events.on('worker-joined', report).on('engine-assigned', report);
    events.on('worker-timing', onTiming).on('clock-sample', onSample);
    this.#stops = [
      () => events.off('worker-joined', report).off('engine-assigned', report),
      () => events.off('worker-timing', onTiming).off('clock-sample', onSample),
      pool.listen({
        left: (worker, reason) => this.#reportLeft(worker, reason),
        leftProbing: (worker, reason) => this.#reportUnable(worker, reason),
      }),
      clock.every(1000 * run.welcome.config.heartbeatInterval, () => this.#sendStatuses()),
    ];
  }

  stop(): void {
    for (const stop of this.#stops) stop();
  }

  /** Sets whether the workers report timings, which are passed on with their answers. */
  setTimed(isTimed: boolean): void {
    this.#timings.setTimed(isTimed);
  }

  /** Passes on the timing of an answer, if the worker has sent one. */
  answered(worker: WorkerConnection, step: number, range: SliceRange): void {
    const timing = this.#timings.answered(worker, step, range);
    if (timing !== undefined) this.#send(timing);
  }

  #report({ id, name, address, offers, engine }: WorkerConnection): void {
    const fingerprint = engine?.fingerprint ?? null;
    this.#reported.add(id);
    this.#send({ type: 'relayed-worker', id, name, address, engines: [...offers], fingerprint });
  }

  #reportLeft({ id, networkProblem }: WorkerConnection, reason: string): void {
    // The workers of a run that the relay has left do not concern this coordinator.
    if (!this.#reported.delete(id)) return;
    const problem = networkProblem === undefined ? {} : { networkProblem: networkProblem.slice(0, 2000) };
    this.#send({ type: 'relayed-worker-left', id, reason: reason.slice(0, 2000), ...problem });
    // The coordinator may have sent requests before it learns that there is nobody to answer them. They end with the
    // connection.
    if (this.#run.session.pool.size === 0) this.#controls.rejoin('no workers are connected to this relay');
  }

  #reportUnable({ name, address, networkProblem: problem }: WorkerConnection, reason: string): void {
    if (problem === undefined) return;
    const [cut, networkProblem] = [reason.slice(0, 2000), problem.slice(0, 2000)];
    this.#send({ type: 'relayed-worker-unable', name, address, reason: cut, networkProblem });
  }

  #sendStatuses(): void {
    const { pool } = this.#run.session;
    const assigned = assignedSlices(this.#run.tracker, this.#run.scheduler.sliceCount);
    const statuses = pool.workers.map((worker) => this.#statusOf(worker, assigned.get(worker.id) ?? []));
    for (let first = 0; first < statuses.length; first += maxStatusesInMessage) {
      this.#send({ type: 'relayed-status', workers: statuses.slice(first, first + maxStatusesInMessage) });
    }
  }

  #statusOf(worker: WorkerConnection, slices: readonly number[]): RelayedStatusMessage['workers'][number] {
    const { tracker, scheduler } = this.#run;
    const { id, load, bytesSent, bytesReceived, bytesPerSecond, silentMs } = worker;
    const isTraining = tracker.current?.isOver === false;
    // The number of the current step, counted from 1, is one more than the number of updates that its weights have had.
    const step = (tracker.current?.step ?? 1) - 1;
    const own = new Set(slices);
    const all = [{ first: 0, count: scheduler.sliceCount }];
    return {
      id,
      state: stateOf(worker, { tracker, step, isTraining }, slices.length > 0),
      slices: rangesIn(all, scheduler.sliceCount, (slice) => own.has(slice)),
      imagesPerSecond: load.speed.imagesPerSecond,
      timeShares: load.time.shares(this.#clock.now()),
      bytesSent,
      bytesReceived,
      sentBytesPerSecond: bytesPerSecond.sent,
      receivedBytesPerSecond: bytesPerSecond.received,
      silentMs,
    };
  }
}
