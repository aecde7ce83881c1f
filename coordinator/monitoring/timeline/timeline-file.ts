// The `timeline` option: records some steps of a run and writes them to a file.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../../../shared/clock.js';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import { lockstepVersion } from '../../../shared/version.js';
import type { WorkerPool } from '../../connections/worker-pool.js';
import type { RunEventBus } from '../../run/run-event-bus.js';
import { TimelineRecorder } from './recorder.js';
import { windowOf, type TimelineOptions, type TimelineWindow } from './timeline-window.js';

export class TimelineFile {
  readonly #file: string;
  readonly #window: TimelineWindow;
  readonly #recorder: TimelineRecorder;
  readonly #events: RunEventBus;
  readonly #runId: string;
  #writing: Promise<void> | undefined;

  /** Throws `bad-option` if the file cannot be written or the run has no such steps. */
  static async open(
    { file, steps }: TimelineOptions,
    run: { id: string; stepsMade: number; totalSteps: number },
    pool: WorkerPool,
    events: RunEventBus,
    clock: Clock,
  ): Promise<TimelineFile> {
    const window = windowOf(steps, run.stepsMade, run.totalSteps);
    try {
      await mkdir(path.dirname(path.resolve(file)), { recursive: true });
      await writeFile(file, '');
    } catch (cause) {
      throw new LockstepError(
        'bad-option',
        `cannot write \`timeline\` ${file} (${messageOf(cause)}): name another file`,
        { cause },
      );
    }
    return new TimelineFile(file, window, new TimelineRecorder(window, pool, clock), events, run.id);
  }

  private constructor(
    file: string,
    window: TimelineWindow,
    recorder: TimelineRecorder,
    events: RunEventBus,
    runId: string,
  ) {
    this.#file = file;
    this.#window = window;
    this.#recorder = recorder;
    this.#events = events;
    this.#runId = runId;
    events.on('event', (event) => {
      recorder.record(event);
      // `close` throws the error.
      if (recorder.isComplete) this.#write().catch(() => undefined);
    });
  }

  /** Writes the recorded steps, unless they are written already. Throws `save-failed`. */
  async close(): Promise<void> {
    await this.#write();
  }

  async #write(): Promise<void> {
    this.#writing ??= this.#save();
    return this.#writing;
  }

  async #save(): Promise<void> {
    const trace = this.#recorder.trace({ lockstepVersion, run: this.#runId });
    try {
      await writeFile(this.#file, `${JSON.stringify(trace)}\n`);
    } catch (cause) {
      throw new LockstepError('save-failed', `cannot write \`timeline\` ${this.#file}: ${messageOf(cause)}`, {
        cause,
      });
    }
    this.#events.publish({ type: 'timeline', file: this.#file, ...this.#window });
  }
}
