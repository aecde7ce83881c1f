// The `timeline` option: records some steps of a run and writes them to a file.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../../../shared/clock.js';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import { lockstepVersion } from '../../../shared/version.js';
import type { WorkerPool } from '../../connections/worker-pool.js';
import type { RunEventBus } from '../../run/run-event-bus.js';
import { TimelineRecorder } from './recorder.js';
import { windowOf, type TimelineOptions } from './timeline-window.js';

export interface TimelineFile {
  /** Writes the recorded steps unless they have already been written. Throws `save-failed`. */
  close(): Promise<void>;
}

/** Opens a timeline. Throws `bad-option` if the file cannot be written or the run does not have these steps. */
export async function openTimelineFile(
  { file, steps }: TimelineOptions,
  run: { id: string; stepsMade: number; totalSteps: number; roundEnd: (step: number) => number },
  pool: WorkerPool,
  events: RunEventBus,
  clock: Clock,
): Promise<TimelineFile> {
  const window = windowOf(steps, run.stepsMade, run.totalSteps, run.roundEnd);
  try {
    await mkdir(path.dirname(path.resolve(file)), { recursive: true });
    await writeFile(file, '');
  } catch (cause) {
    const message = `cannot write \`timeline\` ${file} (${messageOf(cause)}): specify another file`;
    throw new LockstepError('bad-option', message, { cause });
  }
  const recorder = new TimelineRecorder(window, pool, clock);
  async function save(): Promise<void> {
    try {
      await writeFile(file, `${JSON.stringify(recorder.trace({ lockstepVersion, run: run.id }))}\n`);
    } catch (cause) {
      throw new LockstepError('save-failed', `cannot write \`timeline\` ${file}: ${messageOf(cause)}`, { cause });
    }
    events.publish({ type: 'timeline', file, ...window });
  }
  let saving: Promise<void> | undefined;
  events.on('event', (event) => {
    recorder.record(event);
    if (!recorder.isComplete || saving !== undefined) return;
    saving = save();
    // `close` reports the error.
    saving.catch(() => undefined);
  });
  return { close: () => (saving ??= save()) };
}
