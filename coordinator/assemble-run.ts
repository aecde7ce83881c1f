// Assembles the parts of a training run: its state, totals, event subscribers, and the pages that its port serves.
import path from 'node:path';
import type { Clock } from '../shared/clock.js';
import type { StoredDataset } from '../shared/dataset/description.js';
import { recordFormatOf } from '../shared/dataset/record-format.js';
import { LockstepError, messageOf } from '../shared/errors.js';
import type { JoinLinkView } from '../shared/monitoring/join.js';
import { graphOf } from '../shared/config/network-config.js';
import { assertTrainable, layoutNetwork } from '../shared/network/layout.js';
import { portAccessOf, type AccessPolicy } from './connections/access-policy.js';
import { createShards, firstTrainingRecords } from './dataset/shard-store.js';
import { factsOf } from './monitoring/dashboard/facts.js';
import { openLiveDashboard } from './monitoring/dashboard/live-dashboard.js';
import type { DashboardRoutes } from './monitoring/dashboard/routes.js';
import type { StatusReporter } from './monitoring/status-reporter.js';
import { StepTracker } from './monitoring/step-tracker.js';
import { TensorBoardLog } from './monitoring/tensorboard/tensorboard-log.js';
import type { TimelineFile } from './monitoring/timeline/timeline-file.js';
import { initialMovingStatistics, initialWeights } from './optimizer/initial-weights.js';
import { whiteningImages, type TrainingImages } from './optimizer/whitening.js';
import { copyPretrained, type InitialState, type PretrainedWeights } from './run/checkpoints/pretrained-weights.js';
import { CheckpointManager } from './run/checkpoints/checkpoint-manager.js';
import { metricsLineOf } from './run/metrics-lines.js';
import type { Report } from './run/report.js';
import { assertResumable, withInitialWeights, type PlannedRun, type ResumeOptions } from './run/resume.js';
import type { RunDirectory } from './run/run-directory.js';
import { RunEventBus } from './run/run-event-bus.js';
import type { RunEnd } from './run/run-events.js';
import type { RunSetup } from './run/run-setup.js';
import { RunTotals } from './run/run-totals.js';
import type { CoordinatorSession } from './session.js';
import { applyOperatorRequest } from './training/operator.js';
import { RunControl } from './training/run-control.js';
import { RunRecorder } from './training/run-recorder.js';
import { RunSchedule } from './training/run-schedule.js';
import { TrainingState } from './training/training-state.js';

/** A run that is ready to start but does not listen on a port yet. */
export interface AssembledRun {
  setup: RunSetup;
  schedule: RunSchedule;
  state: TrainingState;
  totals: RunTotals;
  events: RunEventBus;
  tracker: StepTracker;
  control: RunControl;
  /** Weights that the run started from; undefined for random ones and for a resumed run. */
  pretrained: PretrainedWeights | undefined;
  recorder: RunRecorder;
  directory: RunDirectory;
  clock: Clock;
}

/**
 * Divides the images into shards and creates the parts of a run. For a resumed run, verifies that the images and the
 * configuration match the checkpoint. Throws the errors of layoutNetwork, assertTrainable, createShards, withInitialWeights and
 * assertResumable.
 */
export async function assembleRun(
  planned: PlannedRun,
  { override = false }: ResumeOptions,
  dataset: StoredDataset,
  directory: RunDirectory,
  clock: Clock,
): Promise<AssembledRun> {
  const { checkpoint } = planned;
  const layout = layoutNetwork(graphOf(planned.config), recordFormatOf(dataset.description));
  assertTrainable(layout);
  const { config, pretrained } =
    checkpoint === undefined
      ? await withInitialWeights(planned.config, layout)
      : { config: planned.config, pretrained: undefined };
  const setup = { config, layout, store: await createShards(dataset, config) };
  const isOverridden =
    checkpoint !== undefined && !(await assertResumable({ ...planned, checkpoint }, setup, override));
  const events = new RunEventBus();
  const totals = new RunTotals(
    config.fingerprint,
    checkpoint && { step: checkpoint.step, record: checkpoint.progress.totals, isOverridden },
  );
  // Subscribed first because other subscribers read the totals.
  events.on('event', (event) => {
    totals.apply(event);
    const line = metricsLineOf(event);
    if (line !== undefined) directory.log(line);
  });
  directory.onWriteError = (reason) => events.publish({ type: 'metrics-failed', reason });
  const state =
    checkpoint === undefined
      ? new TrainingState(setup, await initialState(setup, dataset, pretrained))
      : TrainingState.resumed(setup, checkpoint);
  const checkpoints = new CheckpointManager(directory.checkpoints, setup, checkpoint);
  return {
    setup,
    schedule: new RunSchedule(setup.config, setup.store.stepsPerEpoch),
    state,
    totals,
    events,
    tracker: new StepTracker(events, clock),
    control: new RunControl(),
    pretrained,
    recorder: new RunRecorder(state, checkpoints, directory, events, totals),
    directory,
    clock,
  };
}

/** Returns the initial weights and moving statistics, with pretrained arrays in their places. */
async function initialState(
  setup: RunSetup,
  dataset: StoredDataset,
  pretrained: PretrainedWeights | undefined,
): Promise<InitialState> {
  const { config, layout } = setup;
  const state = {
    weights: initialWeights(layout, config.seed, await imagesToMeasure(setup, dataset)),
    movingStatistics: initialMovingStatistics(layout),
  };
  if (pretrained !== undefined) copyPretrained(pretrained, layout, state);
  return state;
}

/** Reads the training images that initial weights are measured on; undefined if no array is measured. */
async function imagesToMeasure(
  { config, layout, store }: RunSetup,
  dataset: StoredDataset,
): Promise<TrainingImages | undefined> {
  if (!layout.weights.some(({ initializer }) => initializer === 'whitening')) return undefined;
  const format = recordFormatOf(dataset.description);
  const records = await firstTrainingRecords(dataset, config, whiteningImages(format));
  return { records, format, preprocessing: store.preprocessing };
}

export function openDashboard(
  { setup, schedule, events, tracker, control, directory, clock }: AssembledRun,
  session: CoordinatorSession,
  access: AccessPolicy,
  status: StatusReporter,
  dataset: string,
  joinLink: (() => JoinLinkView) | undefined,
): DashboardRoutes {
  const { totalSteps, stepsPerEpoch } = schedule;
  const facts = factsOf(setup.config, {
    runId: session.id,
    runDirectory: directory.directory,
    model: setup.layout.graph.name,
    dataset,
    trainableWeights: setup.layout.weightsSize,
    totalSteps,
    stepsPerEpoch,
  });
  const live = () => ({
    status: status.snapshot(),
    control: session.signal.aborted ? ('stopping' as const) : control.phase,
    step: tracker.shown ?? null,
    lastRecovery: tracker.lastRecovery ?? null,
  });
  return openLiveDashboard(facts, events, directory, clock, live, {
    policy: () => portAccessOf(access),
    joinLink,
    operate: (request, by) =>
      applyOperatorRequest(request, by, {
        control,
        pool: session.pool,
        events,
        links: access.joinLinks,
        stop: (reason) => session.stop(reason),
      }),
  });
}

/**
 * Runs `train` with TensorBoard logging if configured, closes the log and the timeline, and publishes the outcome as an
 * `ended` event.
 */
export async function observed(
  run: AssembledRun,
  timeline: TimelineFile | undefined,
  train: () => Promise<Report>,
): Promise<Report> {
  const { setup, state, events, directory } = run;
  const tensorBoard = setup.config.tensorboard
    ? new TensorBoardLog(path.join(directory.directory, 'tensorboard'), setup, state.step, events)
    : undefined;
  try {
    const report = await closeAfter(train, tensorBoard, timeline);
    events.publish({ type: 'ended', end: { how: 'finished', report } });
    return report;
  } catch (error) {
    events.publish({ type: 'ended', end: failedEnd(error) });
    throw error;
  }
}

/** Does some work, then closes the files, whether or not the work succeeded. */
export async function closeAfter<Result>(
  work: () => Promise<Result>,
  ...files: readonly ({ close(): Promise<void> } | undefined)[]
): Promise<Result> {
  try {
    return await work();
  } finally {
    for (const file of files) await file?.close();
  }
}

function failedEnd(error: unknown): RunEnd {
  const isInterrupted = error instanceof LockstepError && error.code === 'interrupted';
  return { how: isInterrupted ? 'interrupted' : 'failed', message: messageOf(error) };
}
