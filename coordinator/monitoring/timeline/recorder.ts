// Records some steps of a run as a trace: what the coordinator did one after the other, and what each worker did, by the
// worker's own word and in the coordinator's time. Looks on; asks workers to tell times, and changes nothing else.
import type { Clock } from '../../../shared/clock.js';
import type { RunPhase } from '../../../shared/monitoring/run-status.js';
import { describeRange, type SliceRange } from '../../../shared/reduction/slices.js';
import type { RoundObserver } from '../../training/round-observer.js';
import type { RunEventBus } from '../../run/run-event-bus.js';
import type { WorkerConnection } from '../../connections/worker-connection.js';
import type { WorkerPool } from '../../connections/worker-pool.js';
import type { TimelineWindow } from './timeline-window.js';
import { inWholeNanoseconds, processMetadata, type CompleteEvent, type Trace } from './trace-events.js';
import { WorkerTracks } from './worker-tracks.js';

/** Workers have ids from 1 on. */
const coordinatorPid = 0;
const coordinatorTid = 1;

/** What the coordinator does between steps, by the run's phase; nothing where it waits for the next step to begin. */
const betweenSteps: Record<RunPhase, string | undefined> = {
  waiting: 'wait for workers',
  training: undefined,
  validating: 'validation',
  testing: 'test',
  saving: 'checkpoint',
  paused: 'pause',
  ended: undefined,
};

export class TimelineRecorder implements RoundObserver {
  readonly #window: TimelineWindow;
  readonly #clock: Clock;
  readonly #pool: WorkerPool;
  readonly #onComplete: () => void;
  readonly #stopListening: () => void;
  readonly #events: CompleteEvent[] = [];
  readonly #tracks = new Map<number, WorkerTracks>();
  #firstMs = 0;
  #state: 'before' | 'recording' | 'complete' = 'before';
  #step: { number: number; startedMs: number } | undefined;
  /** What the coordinator is at. */
  #activity: { name: string; startedMs: number; args: CompleteEvent['args'] } | undefined;

  /** @param onComplete called once, after the last step of the window */
  constructor(window: TimelineWindow, sources: { clock: Clock; pool: WorkerPool; onComplete: () => void }) {
    const { clock, pool } = sources;
    this.#window = window;
    this.#clock = clock;
    this.#pool = pool;
    this.#onComplete = sources.onComplete;
    this.#stopListening = pool.listen({
      joined: (worker) => this.#joined(worker),
      timing: (worker, timing) => this.#tracks.get(worker.id)?.told(timing),
      gradient: (worker, message) => {
        this.#tracks.get(worker.id)?.answered(message, clock.now());
        // Its answer is here and the next weights are not on their way yet: a ping is never quicker.
        if (this.#state === 'recording') worker.askTime();
      },
    });
  }

  /** What the run tells of the steps' ends, and of what is between them. */
  follow(journal: Pick<RunEventBus, 'on'>): void {
    journal.on('phase', ({ phase }) => {
      if (this.#state === 'recording' && this.#step === undefined) this.#turnTo(betweenSteps[phase]);
    });
    journal.on('step', ({ step, phases }) => this.#endStep(step, phases.update));
  }

  begins(stepsMade: number): void {
    const number = stepsMade + 1;
    const { from, to } = this.#window;
    if (this.#state === 'complete' || number < from || number > to) return;
    const startedMs = this.#clock.now();
    if (this.#state === 'before') {
      this.#state = 'recording';
      this.#firstMs = startedMs;
      for (const worker of this.#pool.workers) worker.tellsTimes = true;
    }
    // A step that was given up has no end.
    this.#step = { number, startedMs };
    this.#turnTo('broadcast', undefined, startedMs);
  }

  asked(worker: WorkerConnection): void {
    if (this.#step !== undefined) this.#tracks.get(worker.id)?.asked(this.#step.number - 1, this.#clock.now());
  }

  dealt(): void {
    this.#turnInStep('wait');
  }

  receives(worker: WorkerConnection, range: SliceRange): void {
    this.#turnInStep('add', { from: worker.name, slices: describeRange(range) });
  }

  received(): void {
    this.#turnInStep('wait');
  }

  ends(): void {
    this.#turnInStep('update');
  }

  answered(): void {}
  late(): void {}
  left(): void {}

  /** All that was recorded, with every worker's clock as well as it is known now. */
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
        // Outer spans first, where they begin at the same time.
        ...this.#events
          .map((event) => ({ ...event, ts: microsecondsAt(event.ts), dur: 1000 * event.dur }))
          .toSorted((a, b) => a.ts - b.ts || b.dur - a.dur),
        ...workers.flatMap((tracks) => tracks.events(microsecondsAt)),
      ].map(inWholeNanoseconds),
      displayTimeUnit: 'ms',
      otherData: { ...about, ...Object.fromEntries(clocks) },
    };
  }

  #joined(worker: WorkerConnection): void {
    if (this.#state === 'complete') return;
    const tracks = new WorkerTracks({ id: worker.id, name: worker.name, engine: worker.engine.engine });
    this.#tracks.set(worker.id, tracks);
    worker.onTimeTold = (exchange) => tracks.clockOffset.add(exchange);
    worker.askTime();
    worker.tellsTimes = this.#state === 'recording';
  }

  /** The update, which ended the step, took so long; what was done since then, such as telling of it, is no part of it. */
  #endStep(number: number, updateMs: number): void {
    if (this.#step?.number !== number) return;
    const updatedMs = (this.#activity?.startedMs ?? this.#clock.now()) + updateMs;
    this.#turnTo(undefined, undefined, updatedMs);
    this.#span(`step ${number}`, this.#step.startedMs, updatedMs);
    this.#step = undefined;
    if (number < this.#window.to) return;
    this.#state = 'complete';
    for (const worker of this.#pool.workers) worker.tellsTimes = false;
    this.#stopListening();
    this.#onComplete();
  }

  #turnInStep(name: string, args?: CompleteEvent['args']): void {
    if (this.#step !== undefined) this.#turnTo(name, args);
  }

  /** The coordinator does one thing after the other: what it was at ends here. */
  #turnTo(name: string | undefined, args?: CompleteEvent['args'], nowMs = this.#clock.now()): void {
    if (this.#activity !== undefined)
      this.#span(this.#activity.name, this.#activity.startedMs, nowMs, this.#activity.args);
    this.#activity = name === undefined ? undefined : { name, startedMs: nowMs, args };
  }

  /** In milliseconds of the clock until the trace is made. */
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
