// startCoordinator: opens a port, admits workers, and runs the training on them.
import { systemClock, type Clock } from '../shared/clock.js';
import type { Config, ConfigInput, ConfigKey } from '../shared/config/config.js';
import { resolveDataset } from '../datasets/read-dataset.js';
import { readOptionsOf, type DatasetHandlers } from '../datasets/read-options.js';
import type { Dataset } from '../shared/dataset/description.js';
import type { LockstepError } from '../shared/errors.js';
import type { JoinLinkView } from '../shared/monitoring/join.js';
import type { RunStatus } from '../shared/monitoring/run-status.js';
import type { ModelLayout } from '../shared/network/layout.js';
import { shardsBytesOf } from '../shared/protocol/messages.js';
import { assembleRun, closeAfter, observed, openDashboard, type AssembledRun } from './assemble-run.js';
import { openAccessPolicy, type AccessOptions, type AccessPolicy } from './connections/access-policy.js';
import { openJoinLinks, type JoinLinkOptions } from './connections/join/open-join-links.js';
import { publicUrlText } from './connections/http/public-url.js';
import { createQuorum } from './create-quorum.js';
import { EngineSelection } from './engine/engine-selection.js';
import { Joining } from './joining.js';
import { PrometheusMetrics } from './monitoring/prometheus.js';
import { StatusReporter } from './monitoring/status-reporter.js';
import { openTimelineFile } from './monitoring/timeline/timeline-file.js';
import type { TimelineOptions } from './monitoring/timeline/timeline-window.js';
import type { Report } from './run/report.js';
import { planRun, withBrowserEngine, type PlannedRun, type ResumeOptions } from './run/resume.js';
import { defaultRunDirectory, RunDirectory } from './run/run-directory.js';
import type { RunEventBus } from './run/run-event-bus.js';
import { CoordinatorSession } from './session.js';
import { sessionSetupOf } from './session-setup.js';
import { Dispatcher } from './training/dispatcher.js';
import { RunPhases } from './training/run-phases.js';
import { TrainingRun } from './training/training-run.js';

/**
 * Minimum of `stopGraceMs` if it is not given. Leaves time to save a checkpoint and disconnect the workers within
 * Kubernetes's default grace period of 30 s.
 */
const minStopGraceMs = 10_000;

export interface CoordinatorOptions extends ConfigInput, ResumeOptions, AccessOptions, DatasetHandlers {
  /** Number of workers to wait for before the first step (`pauseBelow` if that is larger); 1 by default. */
  minWorkers?: number | undefined;
  /** Number of workers to wait for before each later step; 1 by default. */
  pauseBelow?: number | undefined;
  /**
   * Maximum time to wait for workers, in milliseconds; after that, the run saves a checkpoint and fails with
   * `no-workers`. No limit by default.
   */
  waitTimeoutMs?: number | undefined;
  /**
   * Time that the current step, or round of local steps, has to finish after stop(), in milliseconds. By default, twice the
   * duration of the latest one, but at least 10,000. If it takes longer, it is abandoned, and the checkpoint contains the
   * state before it.
   */
  stopGraceMs?: number | undefined;
  /** Images, as an alternative to the folder `data`. */
  dataset?: Dataset | undefined;
  /** Whether the port serves the dashboard and accepts operators' requests; true by default. */
  dashboard?: boolean | undefined;
  /** Where to write a timeline for Perfetto, and which steps to record in it; no timeline by default. */
  timeline?: TimelineOptions | undefined;
  /**
   * A link with which browsers join as workers: true or its options; no link by default. With a link, a run whose
   * `engine` is `auto` uses the `wasm` engine. A link stays valid when the coordinator is restarted in its run directory.
   */
  joinLink?: JoinLinkOptions | boolean | undefined;
  clock?: Clock | undefined;
}

export interface Coordinator {
  /** URL for workers on this machine. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly config: Config;
  readonly layout: ModelLayout;
  readonly runDirectory: string;
  /** The source of the images, for display. */
  readonly dataset: string;
  /** Total size of the run's shards in bytes. */
  readonly shardsBytes: number;
  /** The dashboard's URL on this machine; undefined without a dashboard. */
  readonly dashboardUrl: string | undefined;
  /** The http or https URL by which others reach the port, without a slash at the end; see `publicUrl`. */
  readonly publicUrl: string | undefined;
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
  readonly events: RunEventBus;
  /** Returns the progress of the run and its workers: the body of /status. */
  status(): RunStatus;
  /** Returns the link with which browsers join; null without one. Whoever has it can join. */
  joinLink(): JoinLinkView;
  /**
   * Settles when the run has ended, the workers are disconnected and the port is free. If stop() ends the run early,
   * rejects with the given reason, by default an `interrupted` error.
   */
  readonly report: Promise<Report>;
  /** Ends the run after the current step (see `stopGraceMs`) and saves a checkpoint. */
  stop(reason?: LockstepError): void;
}

/** Names of the options that are not configuration fields. The type ensures that none is missing. */
const otherOptions: Readonly<Record<Exclude<keyof CoordinatorOptions, ConfigKey>, true>> = {
  host: true,
  port: true,
  token: true,
  workersToken: true,
  tokenFile: true,
  tlsCert: true,
  tlsKey: true,
  tlsClientCa: true,
  resume: true,
  override: true,
  minWorkers: true,
  pauseBelow: true,
  waitTimeoutMs: true,
  stopGraceMs: true,
  dataset: true,
  onDatasetWarning: true,
  onDatasetProgress: true,
  dashboard: true,
  timeline: true,
  joinLink: true,
  publicUrl: true,
  allowedOrigins: true,
  clock: true,
};

/** Returns the run that the options describe, with a resumed run's checkpoint. Throws the errors of planRun. */
export async function planCoordinator(options: CoordinatorOptions): Promise<PlannedRun> {
  const planned = await planRun(configInputOf(options), options);
  return options.joinLink === undefined || options.joinLink === false ? planned : withBrowserEngine(planned);
}

/** Returns the options that belong to the configuration, and unknown keys, which planRun rejects. */
function configInputOf(options: CoordinatorOptions): ConfigInput {
  return Object.fromEntries(Object.entries(options).filter(([key]) => !Object.hasOwn(otherOptions, key)));
}

/** Publishes an event if a file of initial weights has other arrays than the network. */
function announcePretrained({ pretrained, events }: AssembledRun): void {
  if (pretrained === undefined) return;
  const { location: path, loaded, missing, unused } = pretrained;
  if (missing.length + unused.length === 0) return;
  events.publish({ type: 'partial-weights', step: 0, path, loaded: loaded.length, missing, unused });
}

/**
 * Starts a coordinator and resolves once its port is open; training starts when enough workers have joined.
 * Throws LockstepError for a bad configuration, bad data, a port in use, or an address that requires a token.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { clock = systemClock } = options;
  const planned = await planCoordinator(options);
  const directory = new RunDirectory(planned.config.runDir ?? defaultRunDirectory(new Date()));
  const links = openJoinLinks(options.joinLink, directory.directory);
  const access = openAccessPolicy(options, links);
  // Checked here to fail before reading the images, which may take a minute, and again by open() below.
  await directory.assertFree(planned.checkpoint);
  const dataset =
    options.dataset ?? (await resolveDataset(planned.config.data ?? undefined, readOptionsOf(planned.config, options)));
  const run = await assembleRun(planned, options, dataset, directory, clock);
  const { setup, schedule, state, events } = run;
  const stopGraceMs = stopGraceOf(events, options.stopGraceMs);
  const session = new CoordinatorSession(sessionSetupOf(setup), access, events, clock, { kind: 'run', stopGraceMs });
  const phases = new RunPhases(events);
  const quorum = createQuorum(session, events, clock, options.waitTimeoutMs, phases);
  const status = new StatusReporter({ ...run, id: session.id, pool: session.pool, quorum, clock }, events);
  const joining = links && new Joining(run, session, access, links, options.joinLink);
  const joinLink = () => joining?.view ?? null;
  const { totalSteps } = schedule;
  const roundEnd = (step: number) => schedule.roundEnd(step);
  const timelineFacts = { id: session.id, stepsMade: state.step, totalSteps, roundEnd };
  const timeline =
    options.timeline && (await openTimelineFile(options.timeline, timelineFacts, session.pool, events, clock));
  await session.listen({
    status: () => status.snapshot(),
    notReady: () => (session.signal.aborted ? 'the run is stopping' : status.notReady()),
    metrics: new PrometheusMetrics(events, () => status.snapshot()),
    pages: [
      joining?.routes,
      options.dashboard === false
        ? undefined
        : openDashboard(run, session, access, status, dataset.source, joining && joinLink),
    ],
  });
  try {
    // Open the directory only after the port: if another coordinator were using the same directory, it would normally
    // hold the port as well, and listen() would have failed.
    await directory.open(setup.config, planned.checkpoint);
    links?.save();
  } catch (error) {
    await session.close();
    throw error;
  }
  const engine = new EngineSelection(session.engine, session.pool, events, clock, async () => {
    session.assignEngines();
    await directory.writeConfig({ ...setup.config, fingerprint: session.engine.fingerprint });
  });
  const training = new TrainingRun({
    ...run,
    pool: session.pool,
    dispatcher: new Dispatcher(session.pool, clock, setup.config.stragglerFactor, session.signal),
    quorum,
    engine,
    phases,
    clock,
  });
  const { minWorkers = 1, pauseBelow = 1 } = options;
  const train = async (): Promise<Report> => {
    const { checkpoint } = planned;
    if (checkpoint !== undefined) events.publish({ type: 'resumed', step: checkpoint.step, path: checkpoint.path });
    announcePretrained(run);
    const firstStep = state.step;
    session.announceWorkers(() => state.step === firstStep);
    return training.train(minWorkers, pauseBelow, session.signal);
  };
  const report = closeAfter(() => session.run(() => observed(run, timeline, train)), directory);
  // If the caller ignores `report`, its rejection must not end the process.
  report.catch(() => undefined);
  return {
    ...propertiesOf(run, session, access, dataset.source),
    dashboardUrl: options.dashboard === false ? undefined : session.url.replace(/^ws/, 'http'),
    status: () => status.snapshot(),
    joinLink,
    report,
    stop: (reason) => session.stop(reason),
  };
}

/** @returns a function that returns the time that workers have to finish the current step: two of them, or a fixed time */
function stopGraceOf(events: RunEventBus, fixedMs: number | undefined): () => number {
  let roundMs = 0;
  events.on('step', ({ phases: { step } }) => (roundMs = step));
  return () => fixedMs ?? Math.max(minStopGraceMs, 2 * roundMs);
}

/** Returns the properties of a coordinator that follow from its run and its port. */
function propertiesOf(
  { setup, schedule, events, directory }: AssembledRun,
  { url, host, port }: CoordinatorSession,
  { publicUrl }: AccessPolicy,
  dataset: string,
) {
  return {
    url,
    host,
    port,
    config: setup.config,
    layout: setup.layout,
    runDirectory: directory.directory,
    dataset,
    shardsBytes: shardsBytesOf(setup.store.shards),
    publicUrl: publicUrl && publicUrlText(publicUrl),
    totalSteps: schedule.totalSteps,
    stepsPerEpoch: schedule.stepsPerEpoch,
    events,
  };
}
