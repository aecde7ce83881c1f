// Records some steps of a run as a trace: the coordinator's activities, and the activities that each worker reported,
// converted to the coordinator's clock.
import type { Clock } from '../../../shared/clock.js';
import type { RunPhase } from '../../../shared/monitoring/run-status.js';
import { describeRange } from '../../../shared/reduction/slices.js';
import type { WorkerPool } from '../../connections/worker-pool.js';
import type { RunEvent, RunEventOf } from '../../run/run-events.js';
import type { TimelineWindow } from './timeline-window.js';
import { roundToNanoseconds, processMetadata, type CompleteEvent, type Trace } from './trace-events.js';
import { WorkerTracks } from './worker-tracks.js';

/** Process id of the coordinator in the trace. Worker ids, which start at 1, serve as the workers' process ids. */
const coordinatorPid = 0;
const coordinatorTid = 1;

/**
 * Name of the coordinator's activity between steps, by phase of the run; undefined for phases without one: `training`,
 * in which the next step is about to start, and `ended`.
 */
const betweenSteps: Record<RunPhase, string | undefined> = {
  waiting: 'wait for workers',
  measuring: 'measure engines',
  training: undefined,
  validating: 'validation',
  testing: 'test',
  saving: 'checkpoint',
  paused: 'pause',
  ended: undefined,
};

export class TimelineRecorder {
  readonly #window: TimelineWindow;
  readonly #clock: Clock;
  readonly #pool: WorkerPool;
  readonly #events: CompleteEvent[] = [];
  readonly #tracks = new Map<number, WorkerTracks>();
  #firstMs = 0;
  #state: 'before' | 'recording' | 'complete' = 'before';
  #step: { number: number; startedMs: number } | undefined;
  #activity: { name: string; startedMs: number; args: CompleteEvent['args'] } | undefined;

  /** @param pool pool of the workers that report timings and clock times */
  constructor(window: TimelineWindow, pool: WorkerPool, clock: Clock) {
    this.#window = window;
    this.#clock = clock;
    this.#pool = pool;
  }

  /** Whether the last step of the window has been recorded. */
  get isComplete(): boolean {
    return this.#state === 'complete';
  }

  /** Processes the next event of the run. Events after the last step of the window are ignored. */
  record(event: RunEvent): void {
    if (this.isComplete) return;
    switch (event.type) {
      case 'phase':
        if (this.#state === 'recording' && this.#step === undefined) this.#turnTo(betweenSteps[event.phase]);
        break;
      case 'step-started':
        this.#startStep(event.step + 1);
        break;
      case 'work-assigned':
        if (this.#step !== undefined) this.#tracks.get(event.worker.id)?.assigned(event.step, this.#clock.now());
        break;
      case 'broadcast':
        this.#turnInStep('wait');
        break;
      case 'answer-received':
        this.#turnInStep('add', { from: event.worker.name, slices: describeRange(event.range) });
        break;
      case 'answer-handled':
        this.#answerHandled(event);
        break;
      case 'gradient-collected':
        this.#turnInStep('update');
        break;
      case 'step':
        this.#endStep(event.step, event.phases.update);
        break;
      case 'worker-joined':
        this.#addWorker(event);
        break;
      case 'relay-joined':
        this.#addWorker({ ...event, engine: 'relay' });
        break;
      case 'worker-timing':
        this.#tracks.get(event.worker.id)?.report(event.timing, event.relayed);
        break;
      case 'clock-sample':
        this.#tracks.get(event.worker.id)?.clockOffset.add(event.sample);
        break;
      default:
    }
  }

  /** Returns everything recorded so far, using the best estimate of each worker's clock offset. */
  trace(about: Readonly<Record<string, string | number>>): Trace {
    this.#turnTo(undefined);
    const microsecondsAt = (ms: number) => 1000 * (ms - this.#firstMs);
    const workers = [...this.#tracks.values()];
    const clocks = workers.flatMap(({ worker, clockOffset: { offsetMs, uncertaintyMs } }) =>
      offsetMs === undefined
        ? []
        : [
            [
              `clock of ${worker.name} (${worker.id})`,
              `${offsetMs.toFixed(3)} ms ahead, ± ${uncertaintyMs.toFixed(3)} ms`,
            ],
          ],
    );
    return {
      traceEvents: [
        ...processMetadata(coordinatorPid, 'coordinator', { steps: coordinatorTid }),
        // Among spans with the same start time, the outer one comes first.
        ...this.#events
          .map((event) => ({ ...event, ts: microsecondsAt(event.ts), dur: 1000 * event.dur }))
          .toSorted((a, b) => a.ts - b.ts || b.dur - a.dur),
        ...workers.flatMap((tracks) => tracks.events(microsecondsAt)),
      ].map(roundToNanoseconds),
      displayTimeUnit: 'ms',
      otherData: { ...about, ...Object.fromEntries(clocks) },
    };
  }

  #addWorker({ id, name, engine }: Pick<RunEventOf<'worker-joined'>, 'id' | 'name' | 'engine'>): void {
    const connection = this.#pool.connections.find(
      (each) => each.id === id || each.relayed?.all.some((relayed) => relayed.id === id),
    );
    // A relay reports its workers' times by its own clock.
    const relayClock = connection?.id === id ? undefined : this.#tracks.get(connection?.id ?? id)?.clockOffset;
    this.#tracks.set(id, new WorkerTracks({ id, name, engine }, relayClock));
    if (connection === undefined) return;
    connection.isTimed = this.#state === 'recording';
    connection.sampleClock();
  }

  #startStep(number: number): void {
    const { from, to } = this.#window;
    if (number < from || number > to) return;
    const startedMs = this.#clock.now();
    if (this.#state === 'before') {
      this.#state = 'recording';
      this.#firstMs = startedMs;
      for (const worker of this.#pool.workers) worker.isTimed = true;
    }
    // Replaces a step that was abandoned and therefore never ended.
    this.#step = { number, startedMs };
    this.#turnTo('broadcast', undefined, startedMs);
  }

  #answerHandled({ worker, step, range, remaining }: RunEventOf<'answer-handled'>): void {
    this.#tracks.get(worker.id)?.answered(step, range, this.#clock.now());
    // Round trips are fastest between an answer and the next weights, so sample the clock now.
    if (this.#state === 'recording') this.#pool.get(worker.id)?.sampleClock();
    if (remaining > 0) this.#turnInStep('wait');
  }

  /**
   * Records the end of a step, or of a round of several steps. A step ends with its update; later work, such as publishing events, is not part of it.
   */
  #endStep(number: number, updateMs: number): void {
    if (this.#step === undefined || number < this.#step.number) return;
    const first = this.#step.number;
    const updatedMs = (this.#activity?.startedMs ?? this.#clock.now()) + updateMs;
    this.#turnTo(undefined, undefined, updatedMs);
    this.#span(number === first ? `step ${number}` : `steps ${first} to ${number}`, this.#step.startedMs, updatedMs);
    this.#step = undefined;
    if (number < this.#window.to) return;
    this.#state = 'complete';
    for (const worker of this.#pool.workers) worker.isTimed = false;
  }

  #turnInStep(name: string, args?: CompleteEvent['args']): void {
    if (this.#step !== undefined) this.#turnTo(name, args);
  }

  /** Ends the current activity, and starts the one with this name; starts none if `name` is undefined. */
  #turnTo(name: string | undefined, args?: CompleteEvent['args'], nowMs = this.#clock.now()): void {
    const activity = this.#activity;
    if (activity !== undefined) this.#span(activity.name, activity.startedMs, nowMs, activity.args);
    this.#activity = name === undefined ? undefined : { name, startedMs: nowMs, args };
  }

  /** Adds a span. Its times are milliseconds on the coordinator's clock; trace() converts them. */
  #span(name: string, startedMs: number, endedMs: number, args?: CompleteEvent['args']): void {
    this.#events.push({
      ph: 'X',
      name,
      cat: 'coordinator',
      pid: coordinatorPid,
      tid: coordinatorTid,
      ts: startedMs,
      dur: endedMs - startedMs,
      ...(args === undefined ? {} : { args }),
    });
  }
}
