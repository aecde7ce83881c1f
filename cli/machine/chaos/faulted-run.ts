// One training run, with or without faults. Each worker process connects through a link that can inject faults.
import { randomBytes } from 'node:crypto';
import { startCoordinator, type Coordinator } from '../../../coordinator/main.js';
import { interruption } from '../../../coordinator/connections/worker-pool.js';
import { systemClock } from '../../../shared/clock.js';
import type { Config } from '../../../shared/config/config.js';
import type { Dataset } from '../../../shared/dataset/description.js';
import { LockstepError } from '../../../shared/errors.js';
import { medianOf } from '../../../shared/median.js';
import { engineArguments, type EngineChoice } from '../../../worker/worker-arguments.js';
import { describeExit, exitReason, type WorkerPlan } from '../../../single-node/worker-processes.js';
import { FaultLog, statisticsOf, type FaultRecord, type Statistics, type UnexplainedLoss } from './fault-log.js';
import type { PlannedFault } from './fault-plan.js';
import { FaultyLink } from './faulty-link.js';
import { Injector } from './injector.js';
import { WorkerSlot } from './worker-slot.js';

/** Faults must never stop a run: a run without progress for this long has failed. */
const stuckAfterMs = 120_000;
/** Workers that have not exited this long after the end of the run are killed. */
const exitTimeoutMs = 3_000;

export interface RunSetup {
  config: Config;
  dataset: Dataset;
  runDir: string;
  workers: readonly WorkerPlan[];
  engine: EngineChoice;
  /** When aborted, ends the run immediately. */
  signal: AbortSignal;
  onProgress: (progress: { step: number; steps: number; injected: number; workers: number }) => void;
}

/** Measurements of one run. The field names are part of the output of `chaos --json`. */
export interface RunMeasurements {
  wallSeconds: number;
  /** Duration of a step, measured by the coordinator. */
  stepMs: Statistics | null;
  /** Time to augment and compute one slice, measured by the workers. */
  sliceMs: Statistics | null;
  workersJoined: number;
  workersLost: number;
  /** Memory and handles of this process, which runs the coordinator and the links, early and late in the run. */
  resources: Record<'rssMiB' | 'handles', { early: number; late: number }>;
}

export interface RunOutcome {
  steps: number;
  validationSteps: readonly number[];
  weightsSha256: string;
  /** Fingerprint of the run's engine. */
  fingerprint: string | null;
  measured: RunMeasurements;
  faults: readonly FaultRecord[];
  /** Number of planned faults whose trigger did not occur before the run ended. */
  missed: number;
  /**
   * Workers that were lost without a fault: either the heartbeat timeout is too short for this machine, or there is a
   * bug.
   */
  unexplained: readonly UnexplainedLoss[];
}

/**
 * Trains once, and injects the planned faults. Throws the same errors as startCoordinator, `workers-failed` if a worker
 * exits without having been killed, and `stuck` if the run makes no progress.
 * @param sliceMs time to compute a slice, from an earlier run; not used without faults
 */
export async function runWithFaults(
  setup: RunSetup,
  faults: readonly PlannedFault[] = [],
  sliceMs = 0,
): Promise<RunOutcome> {
  const { config, dataset, runDir, workers, signal } = setup;
  signal.throwIfAborted();
  const token = randomBytes(16).toString('hex');
  const options = { ...config, runDir, dataset, port: 0, token, minWorkers: workers.length };
  const coordinator = await startCoordinator(options);
  const slots: WorkerSlot[] = [];
  function fail(error: LockstepError): void {
    coordinator.stop(error);
    // Without workers, the run ends without waiting for the current step.
    for (const slot of slots) void slot.close(0);
  }
  for (const [index, plan] of workers.entries()) {
    slots.push(await openSlot(index, plan, setup, { port: coordinator.port, token, fail }));
  }
  const onAbort = () => fail(interruption(signal));
  signal.addEventListener('abort', onAbort);
  const log = new FaultLog(1000 * config.heartbeatTimeout);
  const monitor = new RunMonitor(coordinator, slots, log);
  const injector = new Injector(slots, faults, sliceMs, monitor, log, systemClock);
  const stopWatchdog = startWatchdog(coordinator, fail);
  coordinator.events.on('step', ({ step }) => {
    injector.stepComplete(step);
    const { totalSteps: steps, connectedWorkers } = monitor;
    setup.onProgress({ step, steps, injected: log.records.length, workers: connectedWorkers.size });
  });
  try {
    const { weightsSha256, fingerprint, wallSeconds, workersJoined, workersLost } = await coordinator.report;
    return {
      steps: coordinator.totalSteps,
      validationSteps: monitor.validationSteps,
      weightsSha256,
      fingerprint,
      measured: { wallSeconds, workersJoined, workersLost, ...monitor.measurements() },
      faults: log.records,
      missed: injector.pending,
      unexplained: log.unexplained,
    };
  } finally {
    stopWatchdog();
    signal.removeEventListener('abort', onAbort);
    injector.stop();
    await Promise.all(slots.map((slot) => slot.close(exitTimeoutMs)));
  }
}

async function openSlot(
  index: number,
  plan: WorkerPlan,
  { engine }: RunSetup,
  { port, token, fail }: { port: number; token: string; fail: (error: LockstepError) => void },
): Promise<WorkerSlot> {
  const link = await FaultyLink.open(port);
  const args = [link.url, ...engineArguments(engine), '--no-cache', '--quiet'];
  const start = { args, environment: { LOCKSTEP_TOKEN: token }, output: 'ignore' } as const;
  return new WorkerSlot(index, plan, link, start, (worker) => {
    const reason = [describeExit(worker), exitReason(worker)].filter((part) => part !== '').join(': ');
    fail(new LockstepError('workers-failed', `${worker.name} exited unexpectedly (${reason})`));
  });
}

/** Fails a run that makes no progress. @returns a function that stops the watchdog */
function startWatchdog({ events }: Coordinator, fail: (error: LockstepError) => void): () => void {
  let lastStep = 0;
  let stop = () => undefined as void;
  const restart = () => {
    stop();
    stop = systemClock.after(stuckAfterMs, () =>
      fail(new LockstepError('stuck', `no progress for ${stuckAfterMs / 1000} s in step ${lastStep + 1}`)),
    );
  };
  restart();
  events.on('validation', restart);
  events.on('step', ({ step }) => {
    lastStep = step;
    restart();
  });
  return () => stop();
}

/** Follows a run: takes measurements, and records events in the fault log. */
class RunMonitor {
  readonly totalSteps: number;
  readonly connectedWorkers = new Set<string>();
  readonly validationSteps: number[] = [];
  #step = 0;
  readonly #stepMs: number[] = [];
  readonly #sliceMs: number[] = [];
  readonly #rssMiB: number[] = [];
  readonly #handles: number[] = [];

  constructor({ events, totalSteps }: Coordinator, slots: readonly WorkerSlot[], log: FaultLog) {
    this.totalSteps = totalSteps;
    const now = () => systemClock.now();
    events.on('worker-joined', ({ name }) => {
      this.connectedWorkers.add(name);
      log.joined(name, now());
    });
    events.on('worker-lost', ({ name, reason }) => {
      this.connectedWorkers.delete(name);
      log.lost(name, reason, now(), this.#step + 1);
    });
    events.on('slices-reassigned', ({ slices }) => log.reassigned(slices));
    events.on('step', ({ step, phases }) => {
      this.#step = step;
      this.#stepMs.push(phases.step);
      this.#rssMiB.push(process.memoryUsage.rss() / 2 ** 20);
      this.#handles.push(process.getActiveResourcesInfo().length);
      log.stepComplete(now());
    });
    events.on('validation', ({ step }) => {
      this.validationSteps.push(step);
      log.validationComplete(now());
    });
    for (const slot of slots) this.#followLink(slot, log);
  }

  #followLink({ index, link }: WorkerSlot, log: FaultLog): void {
    link.on('mark', ({ point, message }) => {
      if (message.type === 'compute' && point === 'end' && message.step === this.#step) {
        log.assigned(index, message.ranges);
      } else if (message.type === 'gradient' && point === 'head') {
        const { range, phases } = message;
        const ms = phases.augmentMs + phases.computeMs;
        this.#sliceMs.push(ms / range.count);
        if (message.step === this.#step) log.answered(index, range, ms);
      }
    });
  }

  measurements(): Pick<RunMeasurements, 'stepMs' | 'sliceMs' | 'resources'> {
    return {
      stepMs: statisticsOf(this.#stepMs),
      sliceMs: statisticsOf(this.#sliceMs),
      resources: { rssMiB: earlyAndLate(this.#rssMiB), handles: earlyAndLate(this.#handles) },
    };
  }
}

/** Returns the medians of the second and the last quarter of the values. The first quarter is the warm-up. */
function earlyAndLate(values: readonly number[]): { early: number; late: number } {
  const quarter = Math.max(1, values.length >> 2);
  const medianOrZero = (part: readonly number[]) => (part.length === 0 ? 0 : medianOf(part));
  return { early: medianOrZero(values.slice(quarter, 2 * quarter)), late: medianOrZero(values.slice(-quarter)) };
}
