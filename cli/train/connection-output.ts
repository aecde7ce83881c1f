// What `worker` and `relay` print about their connection to the coordinator, as text or as lines of JSON.
import { lockstepVersion } from '../../shared/version.js';
import type { WorkerEvents } from '../../shared/worker/events.js';
import { formatCount, formatDuration } from '../output/format.js';
import { standardOutput, writeJsonLine, type RateLimitedPrinter } from '../output/printer.js';

/** Events that workers and relays have in common. */
interface ConnectionEvents {
  on(name: 'joined', listener: (event: WorkerEvents['joined'][0]) => void): unknown;
  on(name: 'cacheFailed', listener: (event: WorkerEvents['cacheFailed'][0]) => void): unknown;
  on(name: 'reconnecting', listener: (event: WorkerEvents['reconnecting'][0]) => void): unknown;
}

/** Prints when a worker or relay joins a run, loses its connection, or cannot use its cache. */
export function showConnection(events: ConnectionEvents, role: 'worker' | 'relay', printer: RateLimitedPrinter): void {
  events.on('joined', ({ workerId, network, sliceCount, batchSize }) =>
    printer.line(
      `joined as ${role} ${workerId}: ${network}, batches of ${batchSize} in ${formatCount(sliceCount, 'slice')}`,
    ),
  );
  events.on('cacheFailed', ({ message }) =>
    printer.line(`${message}; shards that are not cached will be downloaded from the coordinator`),
  );
  events.on('reconnecting', ({ reason, delayMs }) =>
    printer.line(`not connected (${reason}); retrying ${delayMs < 1000 ? 'now' : `in ${formatDuration(delayMs)}`}`),
  );
}

/**
 * Writes the events of a worker or relay as JSON lines, the first of which is `start`.
 * @returns a function that writes further events
 */
export function writeEvents(
  { name, events }: { name: string; events: ConnectionEvents },
  start: object,
): (type: string, event: object) => void {
  const writeEvent = (type: string, event: object) =>
    writeJsonLine(standardOutput, { type, time: new Date().toISOString(), worker: name, ...event });
  writeEvent('start', { lockstepVersion, ...start });
  events.on('joined', (event) => writeEvent('joined', event));
  events.on('cacheFailed', (event) => writeEvent('cache-failed', event));
  events.on('reconnecting', (event) => writeEvent('reconnecting', event));
  return writeEvent;
}
