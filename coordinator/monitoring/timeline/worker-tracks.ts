// The tracks of one worker in a timeline: one thread each for receiving assignments with their weights, computing, and
// sending gradients. Times are on the coordinator's clock.
import type { PartialSumTiming } from '../../../shared/protocol/message-fields.js';
import { describeRange, type SliceRange } from '../../../shared/reduction/slices.js';
import { ClockOffset } from './clock-offset.js';
import { processMetadata, type CompleteEvent, type MetadataEvent } from './trace-events.js';

const threads = { receive: 1, compute: 2, send: 3 };

/** A worker in a trace. */
export interface TracedWorker {
  id: number;
  name: string;
  engine: string;
}

/** What a worker reported about a partial sum. */
interface Report {
  timing: PartialSumTiming;
  /** When the relay assigned the work and got the answer, on the clock of the timing, if there is a relay. */
  relayed: { assignedMs: number; arrivedMs: number } | undefined;
}

export class WorkerTracks {
  readonly clockOffset: ClockOffset;
  readonly worker: TracedWorker;
  /** Time when the worker was sent its first assignment of each step, on the coordinator's clock. */
  readonly #assignedMs = new Map<number, number>();
  readonly #reports: Report[] = [];
  /** Arrival time of each answer, on the coordinator's clock. */
  readonly #arrivedMs = new Map<string, number>();

  /** @param clockOffset offset of the clock of the reported times: the worker's own or, behind a relay, the relay's */
  constructor(worker: TracedWorker, clockOffset = new ClockOffset()) {
    this.worker = worker;
    this.clockOffset = clockOffset;
  }

  /** Records that the worker was sent an assignment. Only the first one of each step is kept. */
  assigned(step: number, nowMs: number): void {
    if (!this.#assignedMs.has(step)) this.#assignedMs.set(step, nowMs);
  }

  report(timing: PartialSumTiming, relayed?: Report['relayed']): void {
    this.#reports.push({ timing, relayed });
  }

  /** Records the arrival of an answer. */
  answered(step: number, range: SliceRange, nowMs: number): void {
    const key = keyOf({ step, range });
    const report = this.#reports.findLast(({ timing }) => keyOf(timing) === key);
    if (report === undefined) return;
    this.#arrivedMs.set(key, nowMs);
    const assignedMs = this.#assignedMs.get(step);
    if (assignedMs === undefined) return;
    // The exchange of an assignment and its answer is also a clock sample, in case no heartbeat was faster.
    const { receivedMs, sentMs } = report.timing;
    this.clockOffset.add({ sentMs: assignedMs, receivedMs, repliedMs: sentMs, returnedMs: nowMs });
  }

  /**
   * @param microsecondsAt converts a time on the coordinator's clock to microseconds since the start of the timeline
   */
  events(microsecondsAt: (ms: number) => number): (CompleteEvent | MetadataEvent)[] {
    const { id, name, engine } = this.worker;
    const offsetMs = this.clockOffset.offsetMs;
    if (offsetMs === undefined) return [];
    // Clamped to 0 because the estimated clock offset may be wrong by as much as the first message took.
    const localUs = (ms: number) => Math.max(0, microsecondsAt(ms - offsetMs));
    const span = (
      tid: number,
      what: string,
      from: number,
      to: number,
      args?: CompleteEvent['args'],
    ): CompleteEvent => ({
      ph: 'X',
      name: what,
      cat: 'worker',
      pid: id,
      tid,
      ts: from,
      dur: Math.max(0, to - from),
      ...(args === undefined ? {} : { args }),
    });
    const received = new Set<number>();
    let sendEndsUs = -Infinity;
    const spans = this.#reports.flatMap(({ timing, relayed }) => {
      const { step, range, receivedMs, startedMs, sentMs, slices, additions, preparations } = timing;
      const ofStep = { step: step + 1 };
      const all: CompleteEvent[] = [];
      const assignedMs = this.#assignedMs.get(step);
      const assignedUs = relayed ? localUs(relayed.assignedMs) : assignedMs !== undefined && microsecondsAt(assignedMs);
      if (assignedUs !== false && !received.has(step)) {
        received.add(step);
        // The estimated clock offset may be wrong by more than the transfer took, so make sure that nothing arrives
        // before it was sent.
        const [from, to] = [assignedUs, localUs(receivedMs)];
        all.push(span(threads.receive, 'receive', from, Math.max(from, to), ofStep));
      }
      all.push(span(threads.compute, describeRange(range), localUs(startedMs), localUs(sentMs), ofStep));
      for (const { slice, startedMs: from, augmentMs, computeMs, endedMs } of slices) {
        const [start, end] = [localUs(from), localUs(endedMs)];
        // Images may have been augmented in advance, before this span, so limit the time to the span.
        const augmented = start + Math.max(0, Math.min(1000 * augmentMs, end - start - 1000 * computeMs));
        all.push(
          span(threads.compute, `slice ${slice}`, start, end, ofStep),
          span(threads.compute, 'augment', start, augmented),
          span(threads.compute, 'compute', augmented, Math.min(end, augmented + 1000 * computeMs)),
        );
      }
      for (const { startedMs: from, endedMs: to } of additions)
        all.push(span(threads.compute, 'add', localUs(from), localUs(to)));
      for (const { startedMs: from, endedMs: to } of preparations) {
        // Skip preparation that began before the timeline started.
        if (localUs(from) > 0) all.push(span(threads.compute, 'prepare', localUs(from), localUs(to)));
      }
      const arrivedMs = this.#arrivedMs.get(keyOf(timing));
      const arrivedUs = relayed ? localUs(relayed.arrivedMs) : arrivedMs !== undefined && microsecondsAt(arrivedMs);
      if (arrivedUs !== false) {
        // A socket sends answers one after another.
        const from = Math.max(sendEndsUs, localUs(sentMs));
        sendEndsUs = Math.max(from, arrivedUs);
        all.push(span(threads.send, `send ${describeRange(range)}`, from, sendEndsUs, ofStep));
      }
      return all;
    });
    return [...processMetadata(id, `worker ${name} (${engine})`, threads), ...spans];
  }
}

function keyOf({ step, range }: { step: number; range: SliceRange }): string {
  return `${step}/${range.first}/${range.count}`;
}
