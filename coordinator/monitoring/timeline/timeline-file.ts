// --timeline: the file that the recorded steps are written to.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../../../shared/clock.js';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import { lockstepVersion } from '../../../shared/version.js';
import type { RunEventBus } from '../../run/run-event-bus.js';
import type { WorkerPool } from '../../connections/worker-pool.js';
import { TimelineRecorder } from './recorder.js';
import { windowOf, type TimelineOptions, type TimelineWindow } from './timeline-window.js';

export class TimelineFile {
  readonly recorder: TimelineRecorder;
  readonly #file: string;
  readonly #about: Readonly<Record<string, string | number>>;
  readonly #window: TimelineWindow;
  #journal: RunEventBus | undefined;
  #writing: Promise<void> | undefined;

  private constructor(
    file: string,
    window: TimelineWindow,
    sources: { clock: Clock; pool: WorkerPool; runId: string },
  ) {
    this.#file = file;
    this.#window = window;
    this.#about = { lockstepVersion, run: sources.runId };
    this.recorder = new TimelineRecorder(window, { ...sources, onComplete: () => this.#write() });
  }

  /** Throws `bad-option` where the file cannot be written or the run has no such steps. */
  static async open(
    { file, steps }: TimelineOptions,
    run: { made: number; total: number; clock: Clock; pool: WorkerPool; runId: string },
  ): Promise<TimelineFile> {
    const window = windowOf(steps, run.made, run.total);
    try {
      await mkdir(path.dirname(path.resolve(file)), { recursive: true });
      await writeFile(file, '');
    } catch (cause) {
      throw new LockstepError(
        'bad-option',
        `--timeline ${file} cannot be written (${messageOf(cause)}): name another`,
        {
          cause,
        },
      );
    }
    return new TimelineFile(file, window, run);
  }

  follow(journal: RunEventBus): void {
    this.#journal = journal;
    this.recorder.follow(journal);
  }

  /** Writes what there is, if nothing was written yet. Throws `save-failed`. */
  async close(): Promise<void> {
    this.#write();
    await this.#writing;
  }

  #write(): void {
    this.#writing ??= this.#save();
    // Told by close.
    this.#writing.catch(() => undefined);
  }

  async #save(): Promise<void> {
    try {
      await writeFile(this.#file, `${JSON.stringify(this.recorder.trace(this.#about))}\n`);
    } catch (cause) {
      throw new LockstepError('save-failed', `--timeline ${this.#file} could not be written: ${messageOf(cause)}`, {
        cause,
      });
    }
    this.#journal?.emit('timeline', { file: this.#file, ...this.#window });
  }
}
