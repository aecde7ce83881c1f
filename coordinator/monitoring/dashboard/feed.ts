// Sends the state of a run to the dashboard pages that are open: everything at first, then only what is new and what has
// changed, at most four times a second. Costs nothing while no page is open. A page that reads too slowly misses updates and
// gets the sum of them later.
import type { Clock } from '../../../shared/clock.js';
import { differenceBetween, type Difference } from '../../../shared/monitoring/difference.js';
import type { LiveState, WatchMessage } from '../../../shared/monitoring/messages.js';
import type { StepPoint } from '../../../shared/monitoring/step-history.js';
import type { HistoryLine, RunHistory } from './run-history.js';

/** Minimum time between two updates. */
export const minPauseMs = 250;
/** Interval of updates when nothing happens, for values that change by themselves, such as the time since a worker was seen. */
const idleUpdateMs = 1_000;
/** A page that is further behind is sent the whole history again. */
const keptSteps = 1_000;
/** A page with more bytes in its socket's buffer misses an update. */
const maxBufferedBytes = 1 << 16;

/** An open page, at the other end of a socket. */
export interface Subscriber {
  send(text: string): void;
  /** Bytes that have not left yet. */
  readonly bufferedBytes: number;
  /** Closes the socket after everything has left. */
  close(): void;
}

/** What a page has been sent, as counts over the whole run. */
interface Sent {
  steps: number;
  evaluations: number;
  events: number;
  /** Number of live states. */
  live: number;
}

export interface FeedOptions {
  clock: Clock;
  /** Reads the history up to now. Later lines are passed to `add`. */
  readHistory: () => Promise<RunHistory>;
  /** The first message to a page, which identifies the run. */
  greeting: WatchMessage;
  /** Returns the current state, as a new value each time. */
  live: () => LiveState | null;
}

/** The current live state, and how it differs from the one before. */
interface LiveChange {
  /** The count of the one before. */
  before: number;
  difference: Difference | null;
  live: LiveState | null;
}

export class Feed {
  readonly #options: FeedOptions;
  /** The open pages, and what each was sent; undefined before its first update. */
  readonly #subscribers = new Map<Subscriber, Sent | undefined>();
  #history: RunHistory | undefined;
  #reading: Promise<RunHistory> | undefined;
  /** Lines that were added while the history was being read. */
  #early: HistoryLine[] = [];
  #latestSteps: StepPoint[] = [];
  #stepCount = 0;
  /** The last live state sent, and the number of live states sent so far. */
  #live: LiveState | null = null;
  #liveCount = 0;
  #cancelUpdate: (() => void) | undefined;
  #stopIdleUpdates: () => void = () => undefined;
  #lastSentMs = -Infinity;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** Adds a line of metrics.jsonl. Before the first page is opened, lines are ignored: the history will contain them. */
  add(line: HistoryLine): void {
    if (this.#reading === undefined) return;
    if (this.#history === undefined) this.#early.push(line);
    else this.#keep(this.#history, line);
    this.changed();
  }

  /** Schedules an update. */
  changed(): void {
    if (this.#subscribers.size === 0 || this.#cancelUpdate !== undefined) return;
    const { clock } = this.#options;
    const waitMs = Math.max(0, this.#lastSentMs + minPauseMs - clock.now());
    this.#cancelUpdate = clock.after(waitMs, () => {
      this.#cancelUpdate = undefined;
      this.#update();
    });
  }

  /** Rejects if the history cannot be read. */
  async subscribe(subscriber: Subscriber): Promise<void> {
    subscriber.send(JSON.stringify(this.#options.greeting));
    this.#subscribers.set(subscriber, undefined);
    if (this.#subscribers.size === 1) {
      this.#stopIdleUpdates = this.#options.clock.every(idleUpdateMs, () => this.changed());
    }
    await this.#read();
    if (this.#subscribers.has(subscriber)) this.changed();
  }

  unsubscribe(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
    if (this.#subscribers.size === 0) this.#stopTimers();
  }

  /** Sends an update and then a last message, to slow pages too. */
  end(message: WatchMessage): void {
    this.#update();
    const text = JSON.stringify(message);
    for (const subscriber of this.#subscribers.keys()) subscriber.send(text);
    this.#stopTimers();
  }

  #stopTimers(): void {
    this.#cancelUpdate?.();
    this.#cancelUpdate = undefined;
    this.#stopIdleUpdates();
  }

  #update(): void {
    if (this.#history === undefined) return;
    this.#lastSentMs = this.#options.clock.now();
    const live = this.#options.live();
    const difference = differenceBetween(this.#live, live) ?? null;
    const change: LiveChange = { before: this.#liveCount, difference, live };
    this.#live = live;
    this.#liveCount++;
    // Pages that have been sent the same so far, as all that keep up have, are sent the same text.
    const texts = new Map<string, string>();
    for (const [subscriber, sent] of this.#subscribers) {
      if (subscriber.bufferedBytes > maxBufferedBytes) continue;
      const key = JSON.stringify(sent ?? null);
      const text = texts.get(key) ?? JSON.stringify(this.#messageAfter(this.#history, sent, change));
      texts.set(key, text);
      subscriber.send(text);
      this.#subscribers.set(subscriber, this.#everything(this.#history));
    }
  }

  async #read(): Promise<void> {
    this.#reading ??= this.#options.readHistory();
    const history = await this.#reading.catch((error: unknown) => {
      // The next page tries again.
      this.#reading = undefined;
      this.#early = [];
      throw error;
    });
    if (this.#history !== undefined) return;
    this.#history = history;
    for (const line of this.#early) this.#keep(history, line);
    this.#early = [];
  }

  #keep(history: RunHistory, line: HistoryLine): void {
    history.add(line);
    if (line.type !== 'step') return;
    const { step, loss, accuracy, learningRate, imagesPerSecond } = line;
    this.#latestSteps.push({ step, loss, accuracy, learningRate, imagesPerSecond });
    this.#stepCount++;
    if (this.#latestSteps.length >= 2 * keptSteps) this.#latestSteps = this.#latestSteps.slice(-keptSteps);
  }

  #everything(history: RunHistory): Sent {
    return {
      steps: this.#stepCount,
      evaluations: history.evaluations.length,
      events: history.eventCount,
      live: this.#liveCount,
    };
  }

  /** The message for a page that has been sent so much. */
  #messageAfter(history: RunHistory, sent: Sent | undefined, { before, difference, live }: LiveChange): WatchMessage {
    const { steps, evaluations, events, eventCount } = history;
    const newSteps = this.#stepCount - (sent?.steps ?? 0);
    const newEvents = eventCount - (sent?.events ?? 0);
    if (sent === undefined || newSteps > this.#latestSteps.length || newEvents > events.length) {
      return { type: 'history', steps: steps.columns(), evaluations, events, live };
    }
    return {
      type: 'update',
      steps: lastOf(this.#latestSteps, newSteps),
      evaluations: evaluations.slice(sent.evaluations),
      events: lastOf(events, newEvents),
      live: sent.live === before ? difference : [live],
    };
  }
}

function lastOf<Value>(values: readonly Value[], count: number): Value[] {
  return count === 0 ? [] : values.slice(-count);
}
