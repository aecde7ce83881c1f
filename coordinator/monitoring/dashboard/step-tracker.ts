// Keeps the picture of the running step, and of the latest one in which something went wrong and was mended.
import type { Clock } from '../../../shared/clock.js';
import { sameRange, type SliceRange } from '../../../shared/reduction/slices.js';
import { isEventful, type StepBar, type StepView, type WorkReason } from '../../../shared/monitoring/step-view.js';
import type { RoundObserver } from '../../training/round-observer.js';
import type { WorkerConnection } from '../../connections/worker-connection.js';

/** Nobody sees what passes faster: of steps that are shorter, only whole ones are shown. */
const youngMs = 250;

export class StepTracker implements RoundObserver {
  /** Called when there is something new to see. */
  onChange: () => void = () => undefined;
  readonly #clock: Clock;
  #startedMs = 0;
  #running: StepView | undefined;
  /** The one before it. */
  #before: StepView | undefined;
  #eventful: { picture: StepView; atMs: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * What is worth a look: the running step once it has run for a while, else the one before it, whole; undefined before
   * the first. As it is now.
   */
  get toShow(): StepView | undefined {
    if (this.#running !== undefined && !this.#running.isOver) this.#running.elapsedMs = this.#elapsedMs;
    const isYoung = this.#running?.isOver === false && this.#elapsedMs < youngMs;
    const picture = isYoung ? (this.#before ?? this.#running) : this.#running;
    return picture && copyOf(picture);
  }

  /** The latest step with a takeover or a straggler, and how long ago it ended, in milliseconds. */
  get latestEventful(): { picture: StepView; agoMs: number } | undefined {
    if (this.#eventful === undefined) return undefined;
    const { picture, atMs } = this.#eventful;
    return { picture: copyOf(picture), agoMs: this.#clock.now() - atMs };
  }

  begins(step: number): void {
    if (this.#running?.isOver === true) this.#before = this.#running;
    this.#startedMs = this.#clock.now();
    this.#running = { step: step + 1, elapsedMs: 0, isOver: false, bars: [] };
    this.onChange();
  }

  asked({ id, name }: WorkerConnection, ranges: readonly SliceRange[], reason: WorkReason): void {
    const askedMs = this.#elapsedMs;
    for (const { first, count } of ranges) {
      this.#running?.bars.push({
        worker: id,
        name,
        firstSlice: first,
        sliceCount: count,
        reason,
        askedMs,
        endedMs: null,
        end: null,
        isLate: false,
      });
    }
    this.onChange();
  }

  answered({ id }: WorkerConnection, range: SliceRange, counts: boolean): void {
    const bar = this.#openBars(id).find(({ firstSlice, sliceCount }) =>
      sameRange({ first: firstSlice, count: sliceCount }, range),
    );
    if (bar !== undefined) this.#close(bar, counts ? 'counted' : 'unneeded');
  }

  late({ id }: WorkerConnection): void {
    for (const bar of this.#openBars(id)) bar.isLate = true;
    this.onChange();
  }

  left({ id }: WorkerConnection): void {
    for (const bar of this.#openBars(id)) this.#close(bar, 'lost');
  }

  ends(): void {
    const picture = this.#running;
    if (picture === undefined) return;
    picture.elapsedMs = this.#elapsedMs;
    picture.isOver = true;
    if (isEventful(picture)) this.#eventful = { picture, atMs: this.#clock.now() };
    this.onChange();
  }

  get #elapsedMs(): number {
    return this.#clock.now() - this.#startedMs;
  }

  #openBars(worker: number): StepBar[] {
    return (this.#running?.bars ?? []).filter((bar) => bar.worker === worker && bar.end === null);
  }

  #close(bar: StepBar, end: StepBar['end']): void {
    bar.end = end;
    bar.endedMs = this.#elapsedMs;
    this.onChange();
  }
}

function copyOf(picture: StepView): StepView {
  return { ...picture, bars: picture.bars.map((bar) => ({ ...bar })) };
}
