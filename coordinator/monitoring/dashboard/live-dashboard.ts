// The dashboard of a run that goes on: follows its journal and the picture of its steps, and tells the pages that watch.
import type { Clock } from '../../../shared/clock.js';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import type { RunStatus } from '../../../shared/monitoring/run-status.js';
import type { Ending, LiveState, RunFacts } from '../../../shared/monitoring/messages.js';
import type { PortAccess } from '../../connections/http-access.js';
import type { OperatorRequest } from '../../training/operator.js';
import type { Report } from '../../run/report.js';
import type { RunDirectory } from '../../run/run-directory.js';
import type { RunEventBus } from '../../run/run-event-bus.js';
import { Feed } from './feed.js';
import { DashboardRoutes } from './routes.js';
import { readMetrics, RunRecord } from './run-record.js';
import type { StepTracker } from './step-tracker.js';

export interface LiveDashboardOptions {
  clock: Clock;
  facts: RunFacts;
  journal: RunEventBus;
  painter: StepTracker;
  runDirectory: RunDirectory;
  status: () => RunStatus;
  control: () => LiveState['control'];
  door: () => PortAccess;
  operate: (request: OperatorRequest, by: string) => string | undefined;
}

export class LiveDashboard {
  readonly routes: DashboardRoutes;
  readonly #feed: Feed;

  constructor(options: LiveDashboardOptions) {
    const { clock, facts, journal, painter, runDirectory, door, operate } = options;
    const feed = new Feed({
      clock,
      greeting: { type: 'run', facts, isRecorded: false },
      record: () => recordedUntilNow(runDirectory),
      live: () => ({
        status: options.status(),
        control: options.control(),
        picture: painter.toShow ?? null,
        eventful: painter.latestEventful ?? null,
      }),
    });
    journal.on('logged', (line) => feed.add(line));
    painter.onChange = () => feed.changed();
    this.#feed = feed;
    this.routes = new DashboardRoutes({
      door,
      operate,
      watch(watcher) {
        // What keeps metrics.jsonl from being read, the page shows as a connection that is lost.
        feed.join(watcher).catch(() => watcher.close());
        return () => feed.leave(watcher);
      },
    });
  }

  /** Tells the pages what it came to. */
  async finish(report: Report): Promise<void> {
    await this.#end({ how: 'finished', message: null, report });
  }

  /** Tells the pages that it ended before it was finished, and why. */
  async fail(error: unknown): Promise<void> {
    await this.#end(failureOf(error));
  }

  async #end(ending: Ending): Promise<void> {
    this.#feed.end({ type: 'ended', ending });
    this.#feed.close();
    await this.routes.close();
  }
}

/** What metrics.jsonl holds at this moment. */
async function recordedUntilNow(runDirectory: RunDirectory): Promise<RunRecord> {
  const record = new RunRecord();
  const { file, bytes } = runDirectory.metricsUntilNow;
  await runDirectory.flush();
  await readMetrics(file, record, bytes);
  return record;
}

function failureOf(error: unknown): Ending {
  const isInterrupted = error instanceof LockstepError && error.code === 'interrupted';
  return { how: isInterrupted ? 'interrupted' : 'failed', message: messageOf(error), report: null };
}
