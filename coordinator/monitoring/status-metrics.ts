// Metrics that are read from a status snapshot: names, help texts and values, following Prometheus's conventions.
import { computes } from '../../shared/monitoring/computing-workers.js';
import { runPhases, type RunStatus, type WorkerStatus } from '../../shared/monitoring/run-status.js';
import { workerStates } from '../../shared/monitoring/worker-states.js';

type Labels = Readonly<Record<string, string>>;

/** A single value, or one value for each set of labels. */
export type Reading = number | readonly (readonly [labels: Labels, value: number])[];

export interface StatusMetric {
  kind: 'gauge' | 'counter';
  name: string;
  help: string;
  labels: readonly string[];
  /** Reads the metric from a snapshot. Returns NaN if it has no value. */
  read: (status: RunStatus) => Reading;
}

function gauge(name: string, help: string, read: StatusMetric['read'], ...labels: string[]): StatusMetric {
  return { kind: 'gauge', name, help, read, labels };
}

/** Returns a counter: a metric that only increases until the coordinator restarts. */
function counter(name: string, help: string, read: StatusMetric['read'], ...labels: string[]): StatusMetric {
  return { kind: 'counter', name, help, read, labels };
}

/** Returns the values of a metric for each connected worker. Relays have none, so that sums over workers are correct. */
function byWorker(read: (worker: WorkerStatus) => number): StatusMetric['read'] {
  return ({ workers }) => workers.filter(computes).map((worker) => [{ worker: worker.name }, read(worker)]);
}

const connectedWorkers = ({ workers }: RunStatus) => workers.filter(({ state }) => state !== 'lost');

/** Returns one value for each split that has metrics. A non-finite value becomes NaN. */
function bySplit({ run }: RunStatus, key: 'loss' | 'accuracy'): Reading {
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
    'Always 1; labels identify the run.',
    ({ run, lockstepVersion }) => [[{ run: run.id, directory: run.directory, version: lockstepVersion }, 1]],
    'run',
    'directory',
    'version',
  ),
  gauge(
    'lockstep_run_phase',
    '1 for the current phase of the run, 0 for the others.',
    ({ run }) => runPhases.map((phase) => [{ phase }, Number(phase === run.phase)]),
    'phase',
  ),
  counter(
    'lockstep_run_phase_seconds_total',
    'Seconds that this coordinator has spent in each phase.',
    ({ run }) => runPhases.map((phase) => [{ phase }, run.secondsIn[phase]]),
    'phase',
  ),
  gauge('lockstep_step', 'Number of optimizer updates made.', ({ run }) => run.step),
  gauge('lockstep_planned_steps', 'Number of optimizer updates in the whole run.', ({ run }) => run.steps),
  gauge('lockstep_epoch', 'Epoch of the latest update, counted from 1.', ({ run }) => run.epoch),
  gauge('lockstep_planned_epochs', 'Number of epochs in the whole run.', ({ run }) => run.epochs),
  gauge(
    'lockstep_loss',
    'Mean loss over the latest global batch (split "train"), in the latest validation, or in the test.',
    (status) => bySplit(status, 'loss'),
    'split',
  ),
  gauge(
    'lockstep_accuracy_ratio',
    'Fraction of images classified correctly, 0 to 1, over the same images as lockstep_loss.',
    (status) => bySplit(status, 'accuracy'),
    'split',
  ),
  gauge('lockstep_learning_rate', 'Learning rate of the latest update.', ({ run }) => run.learningRate),
  gauge(
    'lockstep_images_per_second',
    'Training images per second in the latest step; 0 while the run waits or is paused.',
    ({ run }) => run.imagesPerSecond.now,
  ),
  counter('lockstep_images_total', 'Number of images trained on.', ({ run }) => run.imagesSeen),
  gauge(
    'lockstep_time_left_seconds',
    'Estimated seconds until the end of the run.',
    ({ run }) => run.secondsLeft ?? NaN,
  ),
  gauge('lockstep_exact', '1 if the weights so far depend only on configuration and seed, 0 otherwise.', ({ run }) =>
    Number(run.exact),
  ),
  counter('lockstep_sent_bytes_total', 'Number of bytes sent to workers.', ({ run }) => run.bytesSent),
  counter('lockstep_received_bytes_total', 'Number of bytes received from workers.', ({ run }) => run.bytesReceived),
  counter(
    'lockstep_slices_reassigned_total',
    'Number of slices reassigned because their worker was lost.',
    ({ run }) => run.slicesReassigned,
  ),
  counter(
    'lockstep_slices_duplicated_total',
    'Number of slices of stragglers that were also assigned to other workers.',
    ({ run }) => run.slicesDuplicated,
  ),
  counter('lockstep_stragglers_total', 'Number of times that a worker was a straggler.', ({ run }) => run.stragglers),
  counter(
    'lockstep_clipped_values_total',
    'Number of gradient values that were clipped when they were rounded to 8 bits; 0 if the encoding is float32.',
    ({ run }) => run.clippedValues,
  ),
  gauge('lockstep_checkpoint_step', 'Step of the newest checkpoint.', ({ run }) => run.checkpoint?.step ?? NaN),
  gauge('lockstep_checkpoint_timestamp_seconds', 'Unix time of the newest checkpoint.', ({ run }) =>
    typeof run.checkpoint?.time === 'string' ? Date.parse(run.checkpoint.time) / 1000 : NaN,
  ),
  gauge(
    'lockstep_workers',
    'Number of workers in each state, without relays. Lost workers are counted once per name, until they rejoin.',
    ({ workers }) =>
      workerStates.map((state) => [
        { state },
        workers.filter((worker) => worker.state === state && worker.relayedWorkers === null).length,
      ]),
    'state',
  ),
  gauge(
    'lockstep_relay_workers',
    'Number of workers behind each connected relay.',
    (status) =>
      connectedWorkers(status).flatMap(({ name, relayedWorkers }) =>
        relayedWorkers === null ? [] : [[{ relay: name }, relayedWorkers] as const],
      ),
    'relay',
  ),
  gauge(
    'lockstep_needed_workers',
    'Number of connected workers that the run needs; with fewer, it waits.',
    ({ run }) => run.workersNeeded,
  ),
  counter(
    'lockstep_workers_joined_total',
    'Number of times that a worker joined or rejoined.',
    ({ run }) => run.workersJoined,
  ),
  counter(
    'lockstep_workers_lost_total',
    'Number of workers lost before the end of the run.',
    ({ run }) => run.workersLost,
  ),
  gauge(
    'lockstep_worker_info',
    'Always 1 for each connected worker; labels give its engine, its device, and the relay that it computes behind, if any.',
    ({ workers }) =>
      workers
        .filter(computes)
        .map(({ name, engine, device, relay }) => [{ worker: name, engine, device, relay: relay ?? '' }, 1]),
    'worker',
    'engine',
    'device',
    'relay',
  ),
  gauge(
    'lockstep_worker_images_per_second',
    'Images that each worker processes per second.',
    byWorker(({ imagesPerSecond }) => imagesPerSecond),
    'worker',
  ),
  counter(
    'lockstep_worker_sent_bytes_total',
    'Number of bytes sent to each worker over its current connection, by the relay if it computes behind one.',
    byWorker(({ bytesSent }) => bytesSent),
    'worker',
  ),
  counter(
    'lockstep_worker_received_bytes_total',
    'Number of bytes received from each worker over its current connection.',
    byWorker(({ bytesReceived }) => bytesReceived),
    'worker',
  ),
  gauge(
    'lockstep_worker_time_ratio',
    "Fraction of each worker's recent time spent on each activity: compute, network or waiting.",
    (status) =>
      status.workers
        .filter(computes)
        .flatMap(({ name, timeShares }) =>
          Object.entries(timeShares ?? {}).map(([activity, share]) => [{ worker: name, activity }, share] as const),
        ),
    'worker',
    'activity',
  ),
  gauge(
    'lockstep_worker_last_seen_seconds',
    'Seconds since data was last received from each worker.',
    byWorker(({ lastSeenSecondsAgo }) => lastSeenSecondsAgo),
    'worker',
  ),
];
