// A run's voice: what happens goes to metrics.jsonl, to listeners and into the ledger that the report is made of.
import { EventEmitter } from 'node:events';
import type { RunPhase } from '../../shared/monitoring/run-status.js';
import type { CollectedGradient } from '../training/collect-gradient.js';
import { RunTotals, type MetricsLine, type RunEventName } from './report.js';
import type { RunDirectory } from './run-directory.js';
import type { EpochEvent, EvaluationEvent, OperatorAction, RunEvents, StepEvent } from './run-events.js';
import type { WorkerConnection } from '../connections/worker-connection.js';
import type { WorkerPool } from '../connections/worker-pool.js';

/** How metrics.jsonl calls what an operator had done. */
const operatorEvents: Record<OperatorAction, RunEventName> = {
  pause: 'paused',
  continue: 'continued',
  checkpoint: 'checkpoint-asked',
  stop: 'stop-asked',
  drop: 'worker-dropped',
};

export class RunEventBus extends EventEmitter<RunEvents> {
  readonly ledger = new RunTotals();
  readonly #runDirectory: RunDirectory;
  readonly #pool: WorkerPool;
  /** Updates made, which each event is told with. */
  #step = 0;
  #activity: RunPhase = 'waiting';
  /** Whether there are too few workers for it. */
  #isWaiting = false;

  constructor(runDirectory: RunDirectory, pool: WorkerPool) {
    super();
    this.#runDirectory = runDirectory;
    this.#pool = pool;
    runDirectory.onTrouble = (reason) => {
      this.#logEvent('metrics-failed', reason);
      this.emit('metricsFailed', { reason });
    };
  }

  /** What the run is doing. */
  get phase(): RunPhase {
    return this.#isWaiting && this.#activity !== 'ended' ? 'waiting' : this.#activity;
  }

  /** What the run does from now on, as far as there are enough workers for it. */
  begins(activity: RunPhase): void {
    this.#become(() => (this.#activity = activity));
  }

  #become(change: () => void): void {
    const before = this.phase;
    change();
    const { phase } = this;
    if (phase !== before) this.emit('phase', { phase });
  }

  resumed(from: { step: number; path: string }): void {
    this.#step = from.step;
    this.#logEvent('resumed', from.path);
    this.emit('resumed', { step: from.step, path: from.path });
  }

  /** Tells of workers that come and go, until the returned function is called. Those that are here already have come. */
  followWorkers(): () => void {
    for (const worker of this.#pool.workers) this.#joined(worker);
    return this.#pool.listen({
      joined: (worker) => this.#joined(worker),
      left: (worker, reason) => this.#left(worker, reason),
    });
  }

  step(
    event: StepEvent,
    { reassignedSlices, stragglers, work }: Pick<CollectedGradient, 'reassignedSlices' | 'stragglers' | 'work'>,
  ): void {
    const { step } = event;
    this.#step = step;
    this.ledger.countStep(event.phases, work);
    this.#log({ type: 'step', time: timeNow(), ...event });
    for (const { name, slices, helpers } of stragglers) {
      this.ledger.stragglers++;
      this.ledger.slicesDuplicated += slices;
      this.#logEvent(
        'straggler',
        `${name} was late in step ${step}: ${slices} of its slices went to ${helpers.join(', ')} too`,
      );
      this.emit('straggler', { step, name, slices, helpers });
    }
    if (reassignedSlices > 0) {
      this.ledger.slicesReassigned += reassignedSlices;
      const slices = reassignedSlices === 1 ? 'slice' : 'slices';
      this.#logEvent('slices-reassigned', `${reassignedSlices} ${slices} of step ${step}`);
      this.emit('slicesReassigned', { step, slices: reassignedSlices });
    }
    this.emit('step', event);
  }

  epoch(event: EpochEvent): void {
    this.emit('epoch', event);
  }

  evaluation(split: 'validation' | 'test', event: EvaluationEvent): void {
    this.#log({ type: split, time: timeNow(), ...event });
    this.emit(split, event);
  }

  checkpoint(path: string, seconds: number): void {
    this.#logEvent('checkpoint', path);
    this.emit('checkpoint', { step: this.#step, path, seconds });
  }

  checkpointFailed(reason: string, saved: string): void {
    this.#logEvent('checkpoint-failed', `${reason}; ${saved}`);
    this.emit('checkpointFailed', { step: this.#step, reason, saved });
  }

  tensorBoardFailed(reason: string): void {
    this.#logEvent('tensorboard-failed', reason);
    this.emit('tensorBoardFailed', { reason });
  }

  waiting(needed: number): void {
    const workers = this.#pool.size;
    this.#logEvent('waiting', `${workers} of ${needed} workers`);
    this.emit('waiting', { workers, needed });
    this.#become(() => (this.#isWaiting = true));
  }

  /** There are enough workers again. */
  goesOn(): void {
    this.#become(() => (this.#isWaiting = false));
  }

  /** @param by whose wish it was. @param what it was done to, where it is not the run */
  operated(action: OperatorAction, by: string, what?: string): void {
    const detail = what === undefined ? `by ${by}` : `${what} by ${by}`;
    this.#logEvent(operatorEvents[action], detail);
    this.emit('operated', { step: this.#step, action, detail });
  }

  /** Something about who may come in. */
  door(message: string): void {
    this.#logEvent('door', message);
    this.emit('door', { message });
  }

  /** Counts what was exchanged with workers that stay to the end; those that left are counted already. */
  countBytesOfStayers(): void {
    for (const worker of this.#pool.workers) this.#countBytes(worker);
  }

  #joined(worker: WorkerConnection): void {
    const { id, name, address, engine } = worker;
    const first = this.ledger.firstFingerprint;
    this.ledger.countWorker(engine);
    this.#logEvent('worker-joined', `${name} (${address}) on ${engine.device}: ${engine.fingerprint}`);
    this.emit('workerJoined', { id, name, address, ...engine, workers: this.#pool.size });
    if (first !== undefined && first !== engine.fingerprint) {
      this.#logEvent('inexact', `${name} computes with ${engine.fingerprint}, the first worker with ${first}`);
      this.emit('inexact', { name, fingerprint: engine.fingerprint, first });
    }
  }

  #left(worker: WorkerConnection, reason: string): void {
    const { id, name, address } = worker;
    this.ledger.workersLost++;
    this.#countBytes(worker);
    this.#logEvent('worker-lost', `${name} (${address}): ${reason}`);
    this.emit('workerLost', { id, name, address, reason, workers: this.#pool.size });
  }

  #countBytes(worker: WorkerConnection): void {
    this.ledger.bytesSent += worker.bytesSent;
    this.ledger.bytesReceived += worker.bytesReceived;
  }

  #logEvent(event: RunEventName, detail: string): void {
    this.#log({ type: 'event', step: this.#step, time: timeNow(), event, detail });
  }

  #log(line: MetricsLine): void {
    this.#runDirectory.log(line);
    this.emit('logged', line);
  }
}

function timeNow(): string {
  return new Date().toISOString();
}
