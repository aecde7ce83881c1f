// What of a status is a metric: names, help texts and values, in the manner of Prometheus. Names say their unit.
import { runPhases, workerStates, type RunStatus } from '../../shared/monitoring/run-status.js';

/** One value, or one for each set of labels. */
export type Reading = number | readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];

export interface StatusMetric {
  name: string;
  help: string;
  kind: 'gauge' | 'counter';
  labels?: readonly string[];
  /** NaN where there is no value. */
  read: (status: RunStatus) => Reading;
}

function gauge(name: string, help: string, read: StatusMetric['read'], ...labels: string[]): StatusMetric {
  return { kind: 'gauge', name, help, read, labels };
}

/** Something that only grows while one coordinator runs. */
function counter(name: string, help: string, read: StatusMetric['read'], ...labels: string[]): StatusMetric {
  return { kind: 'counter', name, help, read, labels };
}

const workersHere = ({ workers }: RunStatus) => workers.filter(({ state }) => state !== 'lost');

/** One value for each split that there are metrics of. Where only one of them is no number, they are there. */
function ofSplits({ run }: RunStatus, key: 'loss' | 'accuracy'): Reading {
  const splits = { train: run, validation: run.validation, test: run.test };
  return Object.entries(splits).flatMap(([split, metrics]) =>
    metrics === null || (metrics.loss === null && metrics.accuracy === null)
      ? []
      : [[{ split }, metrics[key] ?? NaN] as const],
  );
}

export const statusMetrics: readonly StatusMetric[] = [
  gauge(
    'lockstep_run_info',
    'Always 1; the labels say which run this is.',
    ({ run, lockstepVersion }) => [[{ run: run.id, directory: run.directory, version: lockstepVersion }, 1]],
    'run',
    'directory',
    'version',
  ),
  gauge(
    'lockstep_run_phase',
    '1 for what the run is doing, 0 for all else.',
    ({ run }) => runPhases.map((phase) => [{ phase }, Number(phase === run.phase)]),
    'phase',
  ),
  counter(
    'lockstep_run_phase_seconds_total',
    'Time that this coordinator has spent on each phase; waiting is for workers.',
    ({ run }) => runPhases.map((phase) => [{ phase }, run.secondsIn[phase]]),
    'phase',
  ),
  gauge('lockstep_step', 'Updates made.', ({ run }) => run.step),
  gauge('lockstep_planned_steps', 'Updates that the run will have made at its end.', ({ run }) => run.steps),
  gauge('lockstep_epoch', 'The epoch of the latest update, counted from 1.', ({ run }) => run.epoch),
  gauge('lockstep_planned_epochs', 'Epochs that the run will have.', ({ run }) => run.epochs),
  gauge(
    'lockstep_loss',
    "Mean loss: of the latest step's batch, the latest validation, the test.",
    (status) => ofSplits(status, 'loss'),
    'split',
  ),
  gauge(
    'lockstep_accuracy_ratio',
    'Part of the images that were right, 0 to 1; of what lockstep_loss is of.',
    (status) => ofSplits(status, 'accuracy'),
    'split',
  ),
  gauge('lockstep_learning_rate', 'Of the latest update.', ({ run }) => run.learningRate),
  gauge(
    'lockstep_images_per_second',
    'Images a second in the latest step; 0 while nothing is computed.',
    ({ run }) => run.imagesPerSecond.now,
  ),
  counter('lockstep_images_total', 'Images that gradients were taken of.', ({ run }) => run.imagesSeen),
  gauge('lockstep_time_left_seconds', 'Until the end, at the pace so far.', ({ run }) => run.secondsLeft ?? NaN),
  gauge('lockstep_exact', '1 while the weights are a pure function of configuration and seed.', ({ run }) =>
    Number(run.exact),
  ),
  counter('lockstep_sent_bytes_total', 'Messages to all workers.', ({ run }) => run.bytesSent),
  counter('lockstep_received_bytes_total', 'Messages from all workers.', ({ run }) => run.bytesReceived),
  counter('lockstep_slices_reassigned_total', 'Slices of lost workers taken over.', ({ run }) => run.slicesReassigned),
  counter(
    'lockstep_slices_duplicated_total',
    'Slices of late workers given to others too.',
    ({ run }) => run.slicesDuplicated,
  ),
  counter('lockstep_stragglers_total', 'Times that a worker was late.', ({ run }) => run.stragglers),
  gauge('lockstep_checkpoint_step', 'Updates in the newest checkpoint.', ({ run }) => run.checkpoint?.step ?? NaN),
  gauge('lockstep_checkpoint_timestamp_seconds', 'When this coordinator saved last, in Unix time.', ({ run }) =>
    typeof run.checkpoint?.time === 'string' ? Date.parse(run.checkpoint.time) / 1000 : NaN,
  ),
  gauge(
    'lockstep_workers',
    'Workers by what they are doing; lost: names that are not here any more.',
    ({ workers }) =>
      workerStates.map((state) => [{ state }, workers.filter((worker) => worker.state === state).length]),
    'state',
  ),
  gauge('lockstep_needed_workers', 'Without so many workers the run waits.', ({ run }) => run.workersNeeded),
  counter('lockstep_workers_joined_total', 'Workers that came, or came again.', ({ run }) => run.workersJoined),
  counter('lockstep_workers_lost_total', 'Workers that went before the end.', ({ run }) => run.workersLost),
  gauge(
    'lockstep_worker_info',
    'Always 1 for each worker; the labels say what it computes with and on.',
    (status) => workersHere(status).map(({ name, engine, device }) => [{ worker: name, engine, device }, 1]),
    'worker',
    'engine',
    'device',
  ),
  gauge(
    'lockstep_worker_images_per_second',
    'Of each worker, while it computes.',
    (status) => workersHere(status).map(({ name, imagesPerSecond }) => [{ worker: name }, imagesPerSecond]),
    'worker',
  ),
  gauge(
    'lockstep_worker_time_ratio',
    "Parts of each worker's time lately, together 1: compute, network, waiting.",
    (status) =>
      workersHere(status).flatMap(({ name, timeShares }) =>
        Object.entries(timeShares ?? {}).map(([activity, part]) => [{ worker: name, activity }, part] as const),
      ),
    'worker',
    'activity',
  ),
  gauge(
    'lockstep_worker_last_seen_seconds',
    'Since anything was heard of each worker.',
    (status) => workersHere(status).map(({ name, lastSeenSecondsAgo }) => [{ worker: name }, lastSeenSecondsAgo]),
    'worker',
  ),
];
