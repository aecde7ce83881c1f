// Tracks which worker computes which slices in the current step. Keeps a view of the current step, and of the last step
// in which a worker left or took too long.
import type { Clock } from '../../shared/clock.js';
import { hasRecovery, type StepBar, type StepView } from '../../shared/monitoring/step-view.js';
import type { RunEventBus } from '../run/run-event-bus.js';
import type { RunEventOf } from '../run/run-events.js';

/** Time after which a running step is shown. Shorter steps are shown only once they are over, to avoid flicker. */
const minVisibleMs = 250;

export class StepTracker {
  readonly #clock: Clock;
  #startedMs = 0;
  #current: StepView | undefined;
  /** Bars of the current step that have not ended, by worker id. */
  readonly #open = new Map<number, StepBar[]>();
  #previous: StepView | undefined;
  #recovery: { view: StepView; endedMs: number } | undefined;

  constructor(events: RunEventBus, clock: Clock) {
    this.#clock = clock;
    events.on('step-started', ({ step }) => this.#start(step));
    events.on('work-assigned', (event) => this.#assign(event));
    events.on('answer-handled', (event) => this.#answer(event));
    events.on('worker-late', ({ worker }) => {
      for (const bar of this.#openBars(worker.id)) bar.isLate = true;
    });
    events.on('work-lost', ({ worker }) => {
      for (const bar of this.#openBars(worker.id)) this.#close(bar, 'lost');
    });
    events.on('gradient-collected', () => this.#end());
  }

  /**
   * The current step, or, between steps, the last one; undefined before the first step. Not a copy: it changes during
   * the step.
   */
  get current(): Readonly<StepView> | undefined {
    return this.#current;
  }

  /** Time at which the current step started, by the clock. */
  get startedMs(): number {
    return this.#startedMs;
  }

  /** A copy of the step to show: the current step if it has run long enough, otherwise the previous one. */
  get shown(): StepView | undefined {
    if (this.#current !== undefined && !this.#current.isOver) this.#current.elapsedMs = this.#elapsedMs;
    const isYoung = this.#current?.isOver === false && this.#elapsedMs < minVisibleMs;
    const view = isYoung ? (this.#previous ?? this.#current) : this.#current;
    return view && structuredClone(view);
  }

  /** A copy of the last step in which a worker left or was late, and the time since that step ended. */
  get lastRecovery(): { view: StepView; agoMs: number } | undefined {
    if (this.#recovery === undefined) return undefined;
    const { view, endedMs } = this.#recovery;
    return { view: structuredClone(view), agoMs: this.#clock.now() - endedMs };
  }

  #start(step: number): void {
    if (this.#current?.isOver === true) this.#previous = this.#current;
    this.#startedMs = this.#clock.now();
    this.#current = { step: step + 1, elapsedMs: 0, isOver: false, bars: [] };
    this.#open.clear();
  }

  #assign({ worker, ranges, reason }: RunEventOf<'work-assigned'>): void {
    const assignedMs = this.#elapsedMs;
    const bars = ranges.map(({ first, count }): StepBar => ({
      worker: worker.id,
      name: worker.name,
      firstSlice: first,
      sliceCount: count,
      reason,
      assignedMs,
      endedMs: null,
      end: null,
      isLate: false,
    }));
    this.#current?.bars.push(...bars);
    this.#open.set(worker.id, [...this.#openBars(worker.id), ...bars]);
  }

  #answer({ worker, range, counted }: RunEventOf<'answer-handled'>): void {
    const bar = this.#openBars(worker.id).find(
      ({ firstSlice, sliceCount }) => firstSlice === range.first && sliceCount === range.count,
    );
    if (bar !== undefined) this.#close(bar, counted ? 'counted' : 'unneeded');
  }

  #end(): void {
    const view = this.#current;
    if (view === undefined) return;
    view.elapsedMs = this.#elapsedMs;
    view.isOver = true;
    if (hasRecovery(view)) this.#recovery = { view, endedMs: this.#clock.now() };
  }

  get #elapsedMs(): number {
    return this.#clock.now() - this.#startedMs;
  }

  #openBars(worker: number): readonly StepBar[] {
    return this.#open.get(worker) ?? [];
  }

  #close(bar: StepBar, end: StepBar['end']): void {
    bar.end = end;
    bar.endedMs = this.#elapsedMs;
    this.#open.set(
      bar.worker,
      this.#openBars(bar.worker).filter((other) => other !== bar),
    );
  }
}
