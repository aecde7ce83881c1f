// Timings of the workers behind a relay, converted to the relay's own clock, which is the one that the coordinator knows.
import type { WorkerConnection } from '../coordinator/connections/worker-connection.js';
import { ClockOffset } from '../coordinator/monitoring/timeline/clock-offset.js';
import type { ClockSample } from '../coordinator/run/run-events.js';
import { machineMs, type Clock } from '../shared/clock.js';
import type { PartialSumTiming } from '../shared/protocol/message-fields.js';
import type { RelayedTimingMessage } from '../shared/protocol/relay-messages.js';
import { sameRange, type SliceRange } from '../shared/reduction/slices.js';
import type { RelayedRun } from './relayed-run.js';

export class RelayedTimings {
  readonly #run: RelayedRun;
  readonly #clock: Clock;
  readonly #offsets = new Map<number, ClockOffset>();
  /** Timings of the workers, each of which is followed by its answer. */
  readonly #latest = new Map<number, PartialSumTiming>();
  #isTimed = false;

  constructor(run: RelayedRun, clock: Clock) {
    this.#run = run;
    this.#clock = clock;
  }

  /** Makes the workers report timings, or not. */
  setTimed(isTimed: boolean): void {
    const { pool } = this.#run.session;
    for (const worker of pool.workers) {
      // The clocks are only needed from the first timed step on.
      if (isTimed && !worker.isTimed) worker.sampleClock();
      worker.isTimed = isTimed;
    }
    this.#isTimed = isTimed;
  }

  addSample(worker: number, sample: ClockSample): void {
    this.#offsetOf(worker).add(sample);
  }

  report(worker: number, timing: PartialSumTiming): void {
    this.#latest.set(worker, timing);
  }

  /** Returns the timing of an answer that has just arrived; undefined if the worker has not reported it. */
  answered({ id }: WorkerConnection, step: number, range: SliceRange): RelayedTimingMessage | undefined {
    const timing = this.#latest.get(id);
    if (!this.#isTimed || timing?.step !== step || !sameRange(timing.range, range)) return undefined;
    const nowMs = this.#clock.now();
    const assignedMs = this.#assignedMs(id);
    const offset = this.#offsetOf(id);
    // The exchange of an assignment and its answer is also a clock sample, in case no heartbeat was faster.
    const { receivedMs, sentMs } = timing;
    offset.add({ sentMs: assignedMs, receivedMs, repliedMs: sentMs, returnedMs: nowMs });
    // From this process's clock to the one that replies to heartbeats carry.
    const shiftMs = machineMs() - nowMs;
    const aheadMs = (offset.offsetMs ?? 0) - shiftMs;
    return {
      type: 'relayed-timing',
      id,
      assignedMs: assignedMs + shiftMs,
      arrivedMs: nowMs + shiftMs,
      timing: shifted(timing, -aheadMs),
    };
  }

  /** Returns when the worker was sent its first assignment of the current step, on this process's clock. */
  #assignedMs(worker: number): number {
    const { tracker } = this.#run;
    const first = tracker.current?.bars.find((bar) => bar.worker === worker);
    return tracker.startedMs + (first?.assignedMs ?? 0);
  }

  #offsetOf(worker: number): ClockOffset {
    const offset = this.#offsets.get(worker) ?? new ClockOffset();
    this.#offsets.set(worker, offset);
    return offset;
  }
}

function shifted(timing: PartialSumTiming, ms: number): PartialSumTiming {
  const shiftSpan = <Span extends { startedMs: number; endedMs: number }>(span: Span): Span => ({
    ...span,
    startedMs: span.startedMs + ms,
    endedMs: span.endedMs + ms,
  });
  return {
    ...timing,
    receivedMs: timing.receivedMs + ms,
    startedMs: timing.startedMs + ms,
    sentMs: timing.sentMs + ms,
    slices: timing.slices.map(shiftSpan),
    additions: timing.additions.map(shiftSpan),
    preparations: timing.preparations.map(shiftSpan),
  };
}
