// The dashboard of a running run: subscribes to its events and sends them to the pages that are open.
import type { Clock } from '../../../shared/clock.js';
import type { LiveState, RunFacts } from '../../../shared/monitoring/messages.js';
import { metricsLineOf } from '../../run/metrics-lines.js';
import type { RunDirectory } from '../../run/run-directory.js';
import type { RunEventBus } from '../../run/run-event-bus.js';
import type { RunEnd } from '../../run/run-events.js';
import { Feed } from './feed.js';
import { DashboardRoutes, type DashboardOptions } from './routes.js';
import { readMetrics, RunRecord } from './run-record.js';

/**
 * @param live the current state; a new value each time
 * @param access who may do what, and what an operator's requests do
 * @returns what the dashboard answers on the coordinator's port
 */
export function openLiveDashboard(
  facts: RunFacts,
  events: RunEventBus,
  directory: RunDirectory,
  clock: Clock,
  live: () => LiveState,
  access: Omit<DashboardOptions, 'watch'>,
): DashboardRoutes {
  const feed = new Feed({
    clock,
    greeting: { type: 'run', facts, isRecorded: false },
    record: () => readCurrentMetrics(directory),
    live,
  });
  events.on('event', (event) => {
    if (event.type === 'ended') return endFeed(feed, event.end);
    const line = metricsLineOf(event);
    if (line === undefined) feed.changed();
    else feed.add(line);
  });
  return new DashboardRoutes({
    ...access,
    watch(watcher) {
      // If metrics.jsonl cannot be read, the page shows a lost connection.
      feed.join(watcher).catch(() => watcher.close());
      return () => feed.leave(watcher);
    },
  });
}

function endFeed(feed: Feed, end: RunEnd): void {
  const ending =
    end.how === 'finished'
      ? { how: end.how, message: null, report: end.report }
      : { how: end.how, message: end.message, report: null };
  feed.end({ type: 'ended', ending });
  feed.close();
}

/** The content of metrics.jsonl at this moment. */
async function readCurrentMetrics(directory: RunDirectory): Promise<RunRecord> {
  const record = new RunRecord();
  const { file, bytes } = directory.metricsUntilNow;
  await directory.flush();
  await readMetrics(file, record, bytes);
  return record;
}
