// Puts a coordinator together: configuration, images, port, pool and training loop. The library's startCoordinator.
import type { EventEmitter } from 'node:events';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { systemClock, type Clock } from '../shared/clock.js';
import { totalStepsOf, type Config, type ConfigInput } from '../shared/config/config.js';
import { resolveDataset, type Cifar10 } from '../shared/dataset/cifar10.js';
import { LockstepError, messageOf } from '../shared/errors.js';
import { layoutModel } from '../shared/network/layout.js';
import type { RunStatus } from '../shared/monitoring/run-status.js';
import { factsOf } from './monitoring/dashboard/facts.js';
import { LiveDashboard } from './monitoring/dashboard/live-dashboard.js';
import { StepTracker } from './monitoring/dashboard/step-tracker.js';
import { isLoopback } from './connections/http-access.js';
import { createShards } from './dataset/shard-store.js';
import { openAccessPolicy, type AccessOptions } from './connections/access-policy.js';
import { openReception } from './session.js';
import { PrometheusMetrics } from './monitoring/prometheus.js';
import { operate } from './training/operator.js';
import type { Report } from './run/report.js';
import { assertSameFuture, planRun, type ResumeOptions } from './run/resume.js';
import { defaultRunDirectory, RunDirectory } from './run/run-directory.js';
import { RunControl } from './training/run-control.js';
import { allOf } from './training/round-observer.js';
import type { RunEvents } from './run/run-events.js';
import { StatusReporter } from './monitoring/status-reporter.js';
import { TensorBoardLog } from './monitoring/tensorboard/tensorboard-log.js';
import { TimelineFile } from './monitoring/timeline/timeline-file.js';
import type { TimelineOptions } from './monitoring/timeline/timeline-window.js';
import { TrainingRun } from './training/training-run.js';
import { WorkerPool } from './connections/worker-pool.js';

/** Leaves time to save and say goodbye within the 30 s that Kubernetes gives. */
const defaultStopGraceMs = 10_000;

export interface CoordinatorOptions extends ConfigInput, ResumeOptions, AccessOptions {
  /** Workers to wait for before the first step; 1 unless said. */
  minWorkers?: number | undefined;
  /** Workers to wait for before each other step; 1 unless said. */
  pauseBelow?: number | undefined;
  /** Ends a run that has waited for workers so long, with a checkpoint (`no-workers`); never unless said. */
  waitTimeoutMs?: number | undefined;
  /** A stopped run gives up a step that does not end, and saves the one before; 10,000 unless said. */
  stopGraceMs?: number | undefined;
  /** The images themselves, instead of the folder `data`. */
  dataset?: Cifar10 | undefined;
  /** Whether the port serves the dashboard, which also takes an operator's requests; unless said, it does. */
  dashboard?: boolean | undefined;
  /** Where and of which steps a timeline is written, for Perfetto; none unless said. */
  timeline?: TimelineOptions | undefined;
  clock?: Clock | undefined;
}

export interface Coordinator {
  /** What a worker on this machine connects to. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly config: Config;
  /** The run's folder. */
  readonly runDirectory: string;
  /** Which images, in plain words. */
  readonly dataset: string;
  /** Where the dashboard is, seen from this machine; undefined where there is none. */
  readonly dashboardUrl: string | undefined;
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
  readonly events: EventEmitter<RunEvents>;
  /** What /status answers: where the run is, and its workers. */
  status(): RunStatus;
  /** Settles when the run has ended, its workers are told and the port is free. Rejects with `interrupted` after stop. */
  readonly report: Promise<Report>;
  /** Ends the run after the running step, with a checkpoint. */
  stop(reason?: LockstepError): void;
}

/**
 * Starts a coordinator and resolves once it listens; training begins when enough workers have come.
 * Throws LockstepError for a bad configuration, bad data, a port in use, or an address that needs a token.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const {
    host,
    port,
    token,
    tokenFile,
    workersToken,
    tlsCert,
    tlsKey,
    tlsClientCa,
    minWorkers = 1,
    pauseBelow = 1,
    waitTimeoutMs,
    stopGraceMs = defaultStopGraceMs,
    resume,
    override = false,
    dataset: givenDataset,
    dashboard: hasDashboard = true,
    timeline: timelineOptions,
    clock = systemClock,
    ...input
  } = options;
  const planned = await planRun(input, { resume, override });
  const { config, checkpoint, given } = planned;
  const door = openAccessPolicy({ host, token, tokenFile, workersToken, tlsCert, tlsKey, tlsClientCa });
  const runDirectory = new RunDirectory(config.runDir ?? defaultRunDirectory(new Date()));
  // Now, and not after a minute of reading images; and again once the port is this run's.
  await runDirectory.assertFree(checkpoint);
  const layout = layoutModel(config);
  const dataset = givenDataset ?? (await resolveDataset(config.data ?? undefined));
  const store = createShards(dataset, config);
  const resumed = checkpoint && {
    checkpoint,
    isOverridden: !(await assertSameFuture({ ...planned, checkpoint }, { layout, store, override })),
  };
  const pool = new WorkerPool();
  const abort = new AbortController();
  const runId = randomUUID();
  const control = new RunControl();
  const painter = hasDashboard ? new StepTracker(clock) : undefined;
  const timeline =
    timelineOptions &&
    (await TimelineFile.open(timelineOptions, {
      made: checkpoint?.step ?? 0,
      total: totalStepsOf(config, store.stepsPerEpoch),
      clock,
      pool,
      runId,
    }));
  const run = new TrainingRun({
    config,
    layout,
    store,
    pool,
    runDirectory,
    resumed,
    given,
    minWorkers,
    pauseBelow,
    waitTimeoutMs,
    clock,
    control,
    observer: allOf([timeline?.recorder, painter]),
    signal: abort.signal,
    stop,
  });
  timeline?.follow(run.journal);
  const status = new StatusReporter({ id: runId, directory: runDirectory.directory, run, pool, config, store, clock });
  let isEnded = false;

  let stopGrace: () => void = () => undefined;
  /** Workers are sent away from a step that does not end in time, which ends it for want of workers. */
  function stop(reason = new LockstepError('interrupted', 'the run was interrupted')): void {
    if (abort.signal.aborted || isEnded) return;
    stopGrace = clock.after(stopGraceMs, () => {
      for (const worker of pool.workers) void worker.goodbye(reason.message);
    });
    abort.abort(reason);
  }

  const dashboard =
    painter &&
    new LiveDashboard({
      clock,
      painter,
      runDirectory,
      facts: factsOf({ runId, run, config, layout, dataset, store, runDirectory }),
      journal: run.journal,
      status: () => status.snapshot(),
      control: () => (abort.signal.aborted ? 'stopping' : control.phase),
      door: () => ({ tokens: door.tokens(), isLoopback: isLoopback(host ?? '127.0.0.1') }),
      operate: (request, by) => operate({ control, pool, journal: run.journal, stop }, request, by),
    });

  const reception = await openReception({
    host,
    port,
    tokens: door.tokens,
    tls: door.tls,
    tell: (message) => run.journal.door(message),
    config,
    layout,
    store,
    pool,
    runId,
    clock,
    firstFingerprint: () => run.journal.ledger.firstFingerprint,
    whyClosed: () => (isEnded || abort.signal.aborted ? 'the run has ended' : undefined),
    status: () => status.snapshot(),
    metrics: new PrometheusMetrics(run.journal, () => status.snapshot()),
    pages: dashboard?.routes,
    notReady: () => (abort.signal.aborted ? 'the run is stopping' : status.notReady()),
  });
  try {
    // Now that the port is this run's: another one that goes on in the same folder has it.
    await runDirectory.open(config, checkpoint);
  } catch (error) {
    await reception.close();
    throw error;
  }
  const stopWatchingTokens = door.watch(clock, (message) => run.journal.door(message));

  function openTensorBoard(): TensorBoardLog {
    const log = TensorBoardLog.open(path.join(runDirectory.directory, 'tensorboard'), {
      layout,
      preprocessing: store.preprocessing,
      stepsMade: run.step,
      onTrouble: (reason) => run.journal.tensorBoardFailed(reason),
    });
    log.follow(run.journal);
    return log;
  }

  async function trainAndClose(): Promise<Report> {
    let goodbye = 'the run has ended';
    let tensorBoard: TensorBoardLog | undefined;
    // Whoever called startCoordinator gets to listen before the first event.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      if (door.tls?.trouble !== undefined) run.journal.door(door.tls.trouble);
      if (config.tensorboard) tensorBoard = openTensorBoard();
      const report = await run.train();
      await dashboard?.finish(report);
      return report;
    } catch (error) {
      goodbye = messageOf(error);
      await dashboard?.fail(error);
      throw error;
    } finally {
      isEnded = true;
      stopGrace();
      stopWatchingTokens();
      await reception.close(goodbye);
      await tensorBoard?.close();
      await timeline?.close();
      await runDirectory.close();
    }
  }
  const report = trainAndClose();
  // Whoever holds `report` sees its rejection; without a holder it must not end the process.
  report.catch(() => undefined);

  return {
    url: reception.url,
    host: reception.host,
    port: reception.port,
    config,
    runDirectory: runDirectory.directory,
    dataset: dataset.source,
    dashboardUrl: hasDashboard ? reception.url.replace(/^ws/, 'http') : undefined,
    totalSteps: run.totalSteps,
    stepsPerEpoch: store.stepsPerEpoch,
    events: run.journal,
    status: () => status.snapshot(),
    report,
    stop,
  };
}
