// Joins a coordinator, and rejoins with backoff whenever the connection is lost, until the coordinator says goodbye.
import type { Clock } from '../shared/clock.js';
import { totalStepsOf } from '../shared/config/config.js';
import { LockstepError, RefusedError } from '../shared/errors.js';
import type { WorkerEventSink, WorkerSummary } from '../shared/worker/events.js';
import { reconnectDelayMs } from './connection/reconnect-delay.js';
import type { SessionEnd, SessionHandlers, WorkerSession } from './session.js';

export interface ReconnectOptions {
  url: string;
  reconnectTimeoutMs: number;
  clock: Clock;
}

export class ReconnectingWorker {
  readonly #openSession: (handlers: SessionHandlers) => WorkerSession;
  readonly #options: ReconnectOptions;
  readonly #events: WorkerEventSink;
  #session: WorkerSession | undefined;
  #stopReason: string | undefined;
  #endPause: () => void = () => undefined;
  #lastWelcomeMs: number;
  #failedAttempts = 0;
  #images = 0;

  constructor(
    openSession: (handlers: SessionHandlers) => WorkerSession,
    options: ReconnectOptions,
    events: WorkerEventSink,
  ) {
    this.#openSession = openSession;
    this.#options = options;
    this.#events = events;
    this.#lastWelcomeMs = options.clock.now();
  }

  stop(reason: string): void {
    this.#stopReason ??= reason;
    this.#session?.stop(reason);
    this.#endPause();
  }

  /** Ends the wait for the next attempt to connect, if there is one: the network may be back. */
  reconnectNow(): void {
    this.#endPause();
  }

  /**
   * Runs until the coordinator says goodbye or stop() is called. Throws LockstepError if the coordinator refuses this
   * worker or stays unreachable, or if the engine fails.
   */
  async run(): Promise<WorkerSummary> {
    const { url } = this.#options;
    while (this.#stopReason === undefined) {
      const end = await this.#runSession();
      if (end.type === 'failed') throw end.error;
      // After stop(), report the reason passed to it, however the connection ended.
      if (this.#stopReason !== undefined) break;
      switch (end.type) {
        case 'goodbye':
          return this.#summary(end.reason);
        case 'refusal':
          if (end.code === 'finished') return this.#summary(end.message);
          throw new RefusedError(end.code, `${url} refused this worker (${end.code}): ${end.message}`);
        case 'lost':
          if (end.isFinal) throw new LockstepError('refused', `cannot join ${url}: ${end.reason}`);
          await this.#waitToReconnect(end.reason);
          break;
        default:
          end satisfies never;
      }
    }
    return this.#summary(this.#stopReason);
  }

  async #runSession(): Promise<SessionEnd> {
    const { url, clock } = this.#options;
    let isAdmitted = false;
    this.#session = this.#openSession({
      onWelcome: ({ workerId, config, stepsPerEpoch }, network) => {
        isAdmitted = true;
        const { slices: sliceCount, batchSize } = config;
        const totalSteps = totalStepsOf(config, stepsPerEpoch);
        this.#events.emit('joined', { url, workerId, network, sliceCount, batchSize, totalSteps });
      },
      onEngine: (engine) => this.#events.emit('engine', engine),
      onProgress: (progress) => {
        this.#images += progress.images;
        this.#events.emit('progress', progress);
      },
    });
    const end = await this.#session.ended;
    if (isAdmitted) {
      this.#failedAttempts = 0;
      this.#lastWelcomeMs = clock.now();
    }
    return end;
  }

  async #waitToReconnect(reason: string): Promise<void> {
    const { url, clock, reconnectTimeoutMs } = this.#options;
    if (clock.now() - this.#lastWelcomeMs > reconnectTimeoutMs) {
      throw new LockstepError(
        'unreachable',
        `${url} could not be reached for ${reconnectTimeoutMs / 1000} s (${reason}): check that the coordinator is running and accepts workers`,
      );
    }
    const attempt = ++this.#failedAttempts;
    const delayMs = reconnectDelayMs(attempt, Math.random());
    this.#events.emit('reconnecting', { reason, attempt, delayMs });
    if (this.#stopReason !== undefined) return;
    await new Promise<void>((resolve) => {
      const cancel = clock.after(delayMs, resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
  }

  #summary(reason: string): WorkerSummary {
    return { reason, images: this.#images };
  }
}
