// Sends the state of a run to open dashboard pages: first everything, then only additions and changes, at most four
// times a second. Does no work until the first page opens, and creates no updates while no page is open. A page that
// reads too slowly misses updates and later receives one update that covers them.
import type { Clock } from '../../../shared/clock.js';
import { differenceBetween, type Difference } from '../../../shared/monitoring/difference.js';
import type { LiveState, WatchMessage } from '../../../shared/monitoring/messages.js';
import type { StepPoint } from '../../../shared/monitoring/step-history.js';
import type { HistoryLine, RunHistory } from './run-history.js';

/** Minimum time between two updates. */
export const minPauseMs = 250;
/**
 * Update interval while no events occur, for values that change over time, such as the time since a worker was last
 * heard from.
 */
const idleUpdateMs = 1_000;
/** Number of latest steps always kept for updates. A page that is further behind receives the whole history again. */
const keptSteps = 1_000;
/** Maximum number of buffered bytes. A page whose socket has more unsent bytes than this misses an update. */
const maxBufferedBytes = 1 << 16;

/** An open dashboard page, reached through a WebSocket. */
export interface Subscriber {
  send(text: string): void;
  /** Bytes queued in the socket that have not been sent yet. */
  readonly bufferedBytes: number;
  /** Closes the socket after everything has been sent. */
  close(): void;
}

/** The feed's counts of items when a page last received an update, which show what the page has already received. */
interface Sent {
  /** Number of steps added since the history was read. */
  steps: number;
  evaluations: number;
  events: number;
  /** Sequence number of the last live state sent to the page. */
  live: number;
}

export interface FeedOptions {
  clock: Clock;
  /** Reads the history so far. Later lines are passed to add(). */
  readHistory: () => Promise<RunHistory>;
  /** First message to each page; identifies the run. */
  greeting: WatchMessage;
  /** Returns the current state as a new object each time. */
  live: () => LiveState | null;
}

/** The current live state, and its difference from the previous live state. */
interface LiveChange {
  /** Sequence number of the previous live state. */
  before: number;
  difference: Difference | null;
  live: LiveState | null;
}

export class Feed {
  readonly #options: FeedOptions;
  /** Open pages with what each has received; undefined for a page before its first update. */
  readonly #subscribers = new Map<Subscriber, Sent | undefined>();
  #history: RunHistory | undefined;
  #reading: Promise<RunHistory> | undefined;
  /** Lines that were added while the history was being read. */
  #early: HistoryLine[] = [];
  #latestSteps: StepPoint[] = [];
  #stepCount = 0;
  /** The last live state sent. `#liveCount` is the number of live states so far. */
  #live: LiveState | null = null;
  #liveCount = 0;
  #cancelUpdate: (() => void) | undefined;
  #stopIdleUpdates: () => void = () => undefined;
  #lastSentMs = -Infinity;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /**
   * Adds a line of metrics.jsonl. Until the first page opens, lines are ignored, because the history will contain them.
   */
  add(line: HistoryLine): void {
    if (this.#reading === undefined) return;
    if (this.#history === undefined) this.#early.push(line);
    else this.#keep(this.#history, line);
    this.changed();
  }

  /** Schedules an update of the open pages. */
  changed(): void {
    if (this.#subscribers.size === 0 || this.#cancelUpdate !== undefined) return;
    const { clock } = this.#options;
    const waitMs = Math.max(0, this.#lastSentMs + minPauseMs - clock.now());
    this.#cancelUpdate = clock.after(waitMs, () => {
      this.#cancelUpdate = undefined;
      this.#update();
    });
  }

  /** Adds a page. Rejects if the history cannot be read. */
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

  /** Sends a last update, then a final message, which slow pages receive too. */
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
    // Pages that have received the same items share one text. This applies to all pages that keep up.
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
      // The next page to open tries again.
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

  /** Returns the message for a page that has already received the items counted in `sent`. */
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
