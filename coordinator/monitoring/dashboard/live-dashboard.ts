// The dashboard of a run in progress: subscribes to its events and feeds the open pages.
import type { Clock } from '../../../shared/clock.js';
import type { LiveState, RunFacts } from '../../../shared/monitoring/messages.js';
import { metricsLineOf } from '../../run/metrics-lines.js';
import type { RunDirectory } from '../../run/run-directory.js';
import type { RunEventBus } from '../../run/run-event-bus.js';
import { Feed } from './feed.js';
import { DashboardRoutes, type DashboardOptions } from './routes.js';
import { readHistory } from './run-history.js';

/**
 * @param live returns the current state as a new object each time
 * @param access the access policy, and the function that carries out operators' requests
 * @returns the routes that the coordinator's port serves
 */
export function openLiveDashboard(
  facts: RunFacts,
  events: RunEventBus,
  directory: RunDirectory,
  clock: Clock,
  live: () => LiveState,
  access: Omit<DashboardOptions, 'subscribe'>,
): DashboardRoutes {
  const feed = new Feed({
    clock,
    greeting: { type: 'run', facts, isRecorded: false },
    async readHistory() {
      const { file, bytes } = directory.metrics;
      await directory.flush();
      return readHistory(file, bytes);
    },
    live,
  });
  events.on('event', (event) => {
    if (event.type === 'ended') return feed.end({ type: 'ended', ending: event.end });
    const line = metricsLineOf(event);
    if (line === undefined) feed.changed();
    else feed.add(line);
  });
  return new DashboardRoutes({
    ...access,
    subscribe(page) {
      // If metrics.jsonl cannot be read, close the page's socket; the page then shows a lost connection.
      feed.subscribe(page).catch(() => page.close());
      return () => feed.unsubscribe(page);
    },
  });
}
