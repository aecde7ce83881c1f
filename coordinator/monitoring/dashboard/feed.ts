// What the pages that watch are told, and when: everything at first, then what is new and what has changed, at most four
// times a second. While nobody watches, nothing is made; a page that does not keep up is passed over and told the rest
// later, in one shard.
import type { Clock } from '../../../shared/clock.js';
import { differenceBetween, type Difference } from '../../../shared/monitoring/difference.js';
import type { LiveState, WatchMessage } from '../../../shared/monitoring/messages.js';
import type { StepPoint } from '../../../shared/monitoring/step-history.js';
import type { RecordedLine, RunRecord } from './run-record.js';

/** Eyes are not faster. */
export const minPauseMs = 250;
/** What changes by itself, such as when a worker was last heard of, is told so often. */
const heartbeatMs = 1_000;
/** A page that lags behind by more steps is sent the whole history again. */
const keptSteps = 1_000;
/** A page with so much on its way to it is passed over. */
const maxBufferedBytes = 1 << 16;

/** A page at the other end of a socket. */
export interface Watcher {
  send(text: string): void;
  /** Bytes that have not left yet. */
  readonly bufferedBytes: number;
  /** Says goodbye once all of it has left. */
  close(): void;
}

/** How much a page has been told: counts of what there ever was. Undefined before it was told anything. */
interface Told {
  steps: number;
  evaluations: number;
  events: number;
  /** How the run stood, which is told anew each time. */
  live: number;
}

export interface FeedOptions {
  clock: Clock;
  /** Reads what was recorded until now. Lines from then on come through `add`. */
  record: () => Promise<RunRecord>;
  /** The first message, which says what run this is. */
  greeting: WatchMessage;
  /** A new value each time: the feed keeps the latest. */
  live: () => LiveState | null;
}

/** From what was told before to what is to be told. */
interface LiveChange {
  /** The count of what it differs from. */
  before: number;
  difference: Difference | null;
  live: LiveState | null;
}

export class Feed {
  readonly #options: FeedOptions;
  readonly #watchers = new Map<Watcher, Told | undefined>();
  #record: RunRecord | undefined;
  #opening: Promise<RunRecord> | undefined;
  /** Lines that came while the record was being read. */
  #early: RecordedLine[] = [];
  #latestSteps: StepPoint[] = [];
  #stepCount = 0;
  /** What was told last, and how often something was. */
  #live: LiveState | null = null;
  #liveCount = 0;
  #stopTimer: (() => void) | undefined;
  #stopHeartbeat: () => void = () => undefined;
  #lastSentMs = -Infinity;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** Whether anybody has ever watched: before that, lines need not be added. */
  get isOpened(): boolean {
    return this.#opening !== undefined;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  /** A line of metrics.jsonl. */
  add(line: RecordedLine): void {
    if (!this.isOpened) return;
    if (this.#record === undefined) this.#early.push(line);
    else this.#keep(this.#record, line);
    this.changed();
  }

  /** There is something new to see: it will be told soon. */
  changed(): void {
    if (this.#watchers.size === 0 || this.#stopTimer !== undefined) return;
    const { clock } = this.#options;
    const waitMs = Math.max(0, this.#lastSentMs + minPauseMs - clock.now());
    this.#stopTimer = clock.after(waitMs, () => {
      this.#stopTimer = undefined;
      this.tellAll();
    });
  }

  /** Rejects where what was recorded cannot be read. */
  async join(watcher: Watcher): Promise<void> {
    watcher.send(JSON.stringify(this.#options.greeting));
    this.#watchers.set(watcher, undefined);
    if (this.#watchers.size === 1) {
      this.#stopHeartbeat = this.#options.clock.every(heartbeatMs, () => this.changed());
    }
    await this.#open();
    if (this.#watchers.has(watcher)) this.changed();
  }

  leave(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    if (this.#watchers.size === 0) this.close();
  }

  /** Tells what is new at once. */
  tellAll(): void {
    if (this.#record === undefined) return;
    this.#lastSentMs = this.#options.clock.now();
    const live = this.#options.live();
    const change: LiveChange = {
      before: this.#liveCount,
      difference: differenceBetween(this.#live, live) ?? null,
      live,
    };
    this.#live = live;
    this.#liveCount++;
    // Pages that are equally far, as all that keep up are, are told the same text.
    const texts = new Map<string, string>();
    for (const [watcher, told] of this.#watchers) {
      if (watcher.bufferedBytes > maxBufferedBytes) continue;
      const key = JSON.stringify(told ?? null);
      const text = texts.get(key) ?? this.#textSince(this.#record, told, change);
      texts.set(key, text);
      watcher.send(text);
      this.#watchers.set(watcher, this.#allOf(this.#record));
    }
  }

  /** The last word: goes to all, slow ones too. */
  end(message: WatchMessage): void {
    this.tellAll();
    const text = JSON.stringify(message);
    for (const watcher of this.#watchers.keys()) watcher.send(text);
  }

  /** Ends the timers. */
  close(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#stopHeartbeat();
  }

  async #open(): Promise<void> {
    this.#opening ??= this.#options.record();
    const record = await this.#opening.catch((error: unknown) => {
      // The next page tries again.
      this.#opening = undefined;
      this.#early = [];
      throw error;
    });
    if (this.#record !== undefined) return;
    this.#record = record;
    for (const line of this.#early) this.#keep(record, line);
    this.#early = [];
  }

  #keep(record: RunRecord, line: RecordedLine): void {
    record.add(line);
    if (line.type !== 'step') return;
    const { step, loss, accuracy, learningRate, imagesPerSecond } = line;
    this.#latestSteps.push({ step, loss, accuracy, learningRate, imagesPerSecond });
    this.#stepCount++;
    if (this.#latestSteps.length >= 2 * keptSteps) this.#latestSteps = this.#latestSteps.slice(-keptSteps);
  }

  #allOf(record: RunRecord): Told {
    return {
      steps: this.#stepCount,
      evaluations: record.evaluations.length,
      events: record.eventCount,
      live: this.#liveCount,
    };
  }

  #textSince(record: RunRecord, told: Told | undefined, { before, difference, live }: LiveChange): string {
    const { evaluations, events, eventCount } = record;
    const newSteps = this.#stepCount - (told?.steps ?? 0);
    const newEvents = eventCount - (told?.events ?? 0);
    if (told === undefined || newSteps > this.#latestSteps.length || newEvents > events.length) {
      return JSON.stringify({
        type: 'history',
        steps: record.steps.columns(),
        evaluations,
        events,
        live,
      } satisfies WatchMessage);
    }
    return JSON.stringify({
      type: 'update',
      steps: lastOf(this.#latestSteps, newSteps),
      evaluations: evaluations.slice(told.evaluations),
      events: lastOf(events, newEvents),
      live: told.live === before ? difference : [live],
    } satisfies WatchMessage);
  }
}

function lastOf<Value>(values: readonly Value[], count: number): Value[] {
  return count === 0 ? [] : values.slice(-count);
}
