// lockstep workers: lists the workers of a running coordinator.
import type { Command } from 'commander';
import type { RunStatus, WorkerStatus } from '../../shared/monitoring/run-status.js';
import { visible } from '../../shared/visible-text.js';
import { addStatusCommand } from '../client/status-command.js';
import { formatBytes, formatPercent } from '../output/format.js';
import { formatTable } from '../output/table.js';

export function configure(command: Command): void {
  addStatusCommand(
    command.description(
      'List the workers of a running coordinator, with their speed, the bytes per second to and from each, and how they spend ' +
        'their time. Workers behind a relay are indented below it.',
    ),
    describeWorkers,
  );
}

type TimeShare = keyof NonNullable<WorkerStatus['timeShares']>;
const share = (name: TimeShare) => (worker: WorkerStatus) =>
  worker.timeShares === null ? '-' : formatPercent(worker.timeShares[name]);

const columns: readonly { title: string; of: (worker: WorkerStatus) => string; isNumber?: true }[] = [
  { title: 'name', of: ({ name, relay }) => (relay === null ? name : `  ${name}`) },
  { title: 'state', of: ({ state }) => state },
  { title: 'engine', of: ({ engine }) => engine },
  { title: 'device', of: ({ device }) => device },
  { title: 'slices', of: ({ slices }) => slices.join(',') || '-' },
  { title: 'shards', of: ({ shards }) => shards.join(',') || '-' },
  { title: 'images/s', of: ({ imagesPerSecond }) => imagesPerSecond.toFixed(0), isNumber: true },
  { title: 'down', of: ({ sentBytesPerSecond }) => `${formatBytes(sentBytesPerSecond)}/s`, isNumber: true },
  { title: 'up', of: ({ receivedBytesPerSecond }) => `${formatBytes(receivedBytesPerSecond)}/s`, isNumber: true },
  { title: 'compute', of: share('compute'), isNumber: true },
  { title: 'network', of: share('network'), isNumber: true },
  { title: 'waiting', of: share('waiting'), isNumber: true },
  { title: 'last seen', of: ({ lastSeenSecondsAgo }) => `${lastSeenSecondsAgo.toFixed(1)} s ago`, isNumber: true },
  { title: 'lost', of: ({ timesLost }) => String(timesLost), isNumber: true },
  { title: 'rejoined', of: ({ timesRejoined }) => String(timesRejoined), isNumber: true },
  { title: 'address', of: ({ address, lostReason }) => (lostReason === null ? address : `${address}: ${lostReason}`) },
];

function describeWorkers({ workers }: RunStatus): string[] {
  if (workers.length === 0) return ['no workers yet'];
  const rows = workers.map((worker) => columns.map(({ of }) => visible(of(worker))));
  return formatTable([columns.map(({ title }) => title), ...rows], (column) => columns[column].isNumber === true);
}
