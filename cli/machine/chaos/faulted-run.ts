// One run over worker processes of its own, each behind a link, with or without faults; and what it came to.
import { randomBytes } from 'node:crypto';
import { startCoordinator, type Coordinator } from '../../../coordinator/main.js';
import { interruption } from '../../../coordinator/connections/worker-pool.js';
import { systemClock } from '../../../shared/clock.js';
import type { Config } from '../../../shared/config/config.js';
import type { Cifar10 } from '../../../shared/dataset/cifar10.js';
import { LockstepError } from '../../../shared/errors.js';
import { medianOf } from '../../../shared/median.js';
import { engineArguments, type EngineChoice } from '../../../worker/worker-arguments.js';
import { describeExit, exitReason, type WorkerPlan } from '../../../single-node/worker-processes.js';
import { FaultLog, spreadOf, type FaultRecord, type Spread, type Unexplained } from './fault-log.js';
import type { Fault } from './fault-plan.js';
import { FaultyLink } from './faulty-link.js';
import { Injector } from './injector.js';
import { WorkerSlot } from './worker-slot.js';

/** A run in which nothing ends for so long has failed: this is what faults must never lead to. */
const stuckAfterMs = 120_000;
/** Workers that do not end by themselves after the goodbye are ended. */
const exitPatienceMs = 3_000;

export interface RunSetup {
  config: Config;
  dataset: Cifar10;
  /** The run's folder. */
  runDir: string;
  workers: readonly WorkerPlan[];
  engine: EngineChoice;
  /** Ends the run at once. */
  signal: AbortSignal;
  onProgress: (progress: { step: number; steps: number; struck: number; workers: number }) => void;
}

export interface RunOutcome {
  steps: number;
  weightsSha256: string;
  wallSeconds: number;
  /** Of a step, by the coordinator's clock. */
  stepMs: Spread | null;
  /** Of augmenting and computing one slice, by the workers' clocks. */
  sliceMs: Spread | null;
  workersJoined: number;
  workersLost: number;
  faults: readonly FaultRecord[];
  /** Planned faults whose moment did not come before the end. */
  missed: number;
  /** Workers that were lost without a fault of theirs: too little patience for this machine, or a mistake of ours. */
  unexplained: readonly Unexplained[];
  /** This process, which holds the coordinator and the links, early in the run and late in it. */
  resources: Record<'rssMiB' | 'handles', { early: number; late: number }>;
}

/**
 * Runs to the end.
 * @param expectedSliceMs how long a slice takes, as a run before has shown; 0 where there are no faults
 * Throws as startCoordinator does, `workers-failed` when a worker ends by itself, `stuck` when nothing goes on.
 */
export async function runWith(setup: RunSetup, faults: readonly Fault[], expectedSliceMs: number): Promise<RunOutcome> {
  const { config, dataset, runDir, workers, engine, signal } = setup;
  const clock = systemClock;
  const token = randomBytes(16).toString('hex');
  const coordinator = await startCoordinator({
    ...config,
    runDir,
    dataset,
    port: 0,
    token,
    minWorkers: workers.length,
  });
  const slots: WorkerSlot[] = [];
  function fail(error: LockstepError): void {
    coordinator.stop(error);
    // A run ends early when there is nobody left to wait for.
    for (const slot of slots) void slot.close(0);
  }
  for (const [index, plan] of workers.entries()) {
    const link = await FaultyLink.open(coordinator.port, clock);
    const args = [link.url, ...engineArguments(engine), '--no-cache', '--quiet'];
    slots.push(
      new WorkerSlot({
        index,
        plan,
        link,
        start: { args, environment: { LOCKSTEP_TOKEN: token }, output: 'ignore' },
        onEnded: (worker) => {
          const reason = [describeExit(worker), exitReason(worker)].filter((part) => part !== '').join(': ');
          fail(new LockstepError('workers-failed', `${worker.name} ended by itself (${reason})`));
        },
      }),
    );
  }
  const onAbort = () => fail(interruption(signal));
  signal.addEventListener('abort', onAbort);

  const log = new FaultLog(1000 * config.heartbeatTimeout);
  const watched = watchRun(coordinator, slots, log);
  const injector = new Injector({
    slots,
    faults,
    log,
    clock,
    sliceMs: expectedSliceMs,
    workersHere: watched.workersHere,
    steps: coordinator.totalSteps,
  });
  let stopWatchdog = () => undefined as void;
  function progress(): void {
    stopWatchdog();
    stopWatchdog = clock.after(stuckAfterMs, () =>
      fail(new LockstepError('stuck', `nothing was finished for ${stuckAfterMs / 1000} s in step ${watched.step + 1}`)),
    );
  }
  progress();
  coordinator.events.on('validation', progress);
  coordinator.events.on('step', ({ step }) => {
    progress();
    injector.stepComplete(step);
    const struck = log.records.length;
    setup.onProgress({ step, steps: coordinator.totalSteps, struck, workers: watched.workersHere.size });
  });

  let missed = 0;
  try {
    const report = await coordinator.report;
    missed = injector.waiting;
    const { weightsSha256, wallSeconds, workersJoined, workersLost } = report;
    return {
      steps: coordinator.totalSteps,
      weightsSha256,
      wallSeconds,
      stepMs: spreadOf(watched.stepMs),
      sliceMs: spreadOf(watched.sliceMs),
      workersJoined,
      workersLost,
      faults: log.records,
      missed,
      unexplained: log.unexplained,
      resources: { rssMiB: earlyAndLate(watched.rssMiB), handles: earlyAndLate(watched.handles) },
    };
  } finally {
    stopWatchdog();
    signal.removeEventListener('abort', onAbort);
    injector.stop();
    await Promise.all(slots.map((slot) => slot.close(exitPatienceMs)));
  }
}

/** Follows a run: what the log is told, and what is measured. */
function watchRun(coordinator: Coordinator, slots: readonly WorkerSlot[], log: FaultLog) {
  const { events } = coordinator;
  const watched = {
    step: 0,
    workersHere: new Set<string>(),
    stepMs: [] as number[],
    sliceMs: [] as number[],
    rssMiB: [] as number[],
    handles: [] as number[],
  };
  events.on('worker-joined', ({ name }) => {
    watched.workersHere.add(name);
    log.joined(name, systemClock.now());
  });
  events.on('worker-lost', ({ name, reason }) => {
    watched.workersHere.delete(name);
    log.lost(name, reason, { nowMs: systemClock.now(), step: watched.step + 1 });
  });
  events.on('slices-reassigned', ({ slices }) => log.reassigned(slices));
  events.on('step', ({ step, phases }) => {
    watched.step = step;
    watched.stepMs.push(phases.step);
    watched.rssMiB.push(process.memoryUsage.rss() / 2 ** 20);
    watched.handles.push(process.getActiveResourcesInfo().length);
    log.stepComplete(systemClock.now());
  });
  events.on('validation', () => log.validationComplete(systemClock.now()));
  for (const { index, link } of slots) {
    link.on('mark', ({ place, message }) => {
      if (message.type === 'compute' && place === 'end' && message.step === watched.step) {
        log.ordered(index, message.ranges);
      } else if (message.type === 'gradient' && place === 'head') {
        const { range, phases } = message;
        const ms = phases.augmentMs + phases.computeMs;
        watched.sliceMs.push(ms / range.count);
        if (message.step === watched.step) log.answered(index, range, ms);
      }
    });
  }
  return watched;
}

/** Medians of the second and of the last quarter: the first one is the warm-up. */
function earlyAndLate(values: readonly number[]): { early: number; late: number } {
  const quarter = Math.max(1, values.length >> 2);
  const medianOrNone = (part: readonly number[]) => (part.length === 0 ? 0 : medianOf(part));
  return { early: medianOrNone(values.slice(quarter, 2 * quarter)), late: medianOrNone(values.slice(-quarter)) };
}
