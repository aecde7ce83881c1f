// Injects planned faults: waits for the step and trigger of each fault, signals the worker process or impairs its link,
// and reverts the fault at the end of its duration.
import type { Clock } from '../../../shared/clock.js';
import type { LinkMark } from './faulty-link.js';
import type { FaultLog } from './fault-log.js';
import type { PlannedFault, Trigger } from './fault-plan.js';
import type { WorkerSlot } from './worker-slot.js';

/** What the injector needs to know about the run. */
export interface RunProgress {
  totalSteps: number;
  /** Names of the connected workers. */
  connectedWorkers: ReadonlySet<string>;
}

export class Injector {
  readonly #slots: readonly WorkerSlot[];
  readonly #pending: PlannedFault[];
  readonly #sliceMs: number;
  readonly #run: RunProgress;
  readonly #log: FaultLog;
  readonly #clock: Clock;
  /** Function that reverts the fault in effect, for each slot that has one. */
  readonly #revert = new Map<WorkerSlot, () => void>();
  /** Function that cancels the fault scheduled during an assignment, for each slot that has one. */
  readonly #cancel = new Map<WorkerSlot, () => void>();
  #runningStep = 1;

  /**
   * @param sliceMs time to compute a slice. Faults during computing are injected half of this time after an assignment
   *   arrives
   */
  constructor(
    slots: readonly WorkerSlot[],
    faults: readonly PlannedFault[],
    sliceMs: number,
    run: RunProgress,
    log: FaultLog,
    clock: Clock,
  ) {
    this.#slots = slots;
    this.#pending = [...faults];
    this.#sliceMs = sliceMs;
    this.#run = run;
    this.#log = log;
    this.#clock = clock;
    for (const slot of slots) slot.link.on('mark', (mark) => this.#onMark(slot, mark));
  }

  /** Number of planned faults that have not been injected yet. */
  get pending(): number {
    return this.#pending.length;
  }

  stepComplete(step: number): void {
    this.#runningStep = step + 1;
    for (const slot of this.#slots) this.#trigger(slot, 'between-steps');
  }

  /** Reverts all faults in effect, and injects no more. */
  stop(): void {
    this.#pending.length = 0;
    for (const cancel of this.#cancel.values()) cancel();
    for (const revert of this.#revert.values()) revert();
  }

  #onMark(slot: WorkerSlot, { direction, point, message }: LinkMark): void {
    switch (`${direction} ${message.type} ${point}`) {
      case 'down weights end':
      case 'down published-weights end':
      case 'down weights-difference end':
        return this.#trigger(slot, 'before-compute');
      case 'down compute end':
        return this.#triggerInCompute(slot);
      case 'up gradient head':
        return this.#cancel.get(slot)?.();
      case 'up gradient middle':
        return this.#trigger(slot, 'in-answer');
      case 'down evaluate end':
        return this.#trigger(slot, 'in-validation');
      case 'down shard-chunk middle':
        return this.#trigger(slot, 'in-transfer');
      default:
        return undefined;
    }
  }

  #dueFault(slot: WorkerSlot, trigger: Trigger): PlannedFault | undefined {
    const { totalSteps, connectedWorkers } = this.#run;
    if (this.#revert.has(slot) || !slot.isRunning || !connectedWorkers.has(slot.name)) return undefined;
    // Only evaluations follow the last step.
    if (this.#runningStep > totalSteps && trigger !== 'in-validation') return undefined;
    return this.#pending.find(
      (fault) => fault.worker === slot.index && fault.trigger === trigger && fault.step <= this.#runningStep,
    );
  }

  #trigger(slot: WorkerSlot, trigger: Trigger): void {
    const planned = this.#dueFault(slot, trigger);
    if (planned !== undefined) this.#inject(slot, planned);
  }

  /**
   * Schedules a fault during computing: half of a slice's time after an assignment has arrived, unless the worker
   * answers earlier.
   */
  #triggerInCompute(slot: WorkerSlot): void {
    if (this.#dueFault(slot, 'in-compute') === undefined || this.#cancel.has(slot)) return;
    const stopTimer = this.#clock.after(this.#sliceMs / 2, () => {
      this.#cancel.delete(slot);
      this.#trigger(slot, 'in-compute');
    });
    this.#cancel.set(slot, () => {
      this.#cancel.delete(slot);
      stopTimer();
    });
  }

  #inject(slot: WorkerSlot, planned: PlannedFault): void {
    this.#pending.splice(this.#pending.indexOf(planned), 1);
    const { trigger, fault } = planned;
    this.#log.injected(planned, this.#clock.now(), {
      // A validation belongs to the step before it.
      step: trigger === 'in-validation' ? this.#runningStep - 1 : this.#runningStep,
      name: slot.name,
      othersHere: this.#run.connectedWorkers.size - 1,
    });
    const revert = applyFault(slot, planned);
    if (!('forMs' in fault)) return;
    const end = () => {
      stopTimer();
      this.#revert.delete(slot);
      revert();
    };
    const stopTimer = this.#clock.after(fault.forMs, end);
    this.#revert.set(slot, end);
  }
}

/** @returns a function that reverts the fault */
function applyFault(slot: WorkerSlot, { fault, trigger }: PlannedFault): () => void {
  const { link } = slot;
  const isInMessage = trigger === 'in-answer' || trigger === 'in-transfer';
  switch (fault.kind) {
    case 'kill':
      slot.kill();
      // Without the cut, the operating system would still deliver the rest of the message.
      if (isInMessage) link.cut();
      return () => undefined;
    case 'disconnect':
      link.cut();
      return fault.forMs > 0 ? link.refuse() : () => undefined;
    case 'freeze': {
      const release = isInMessage ? link.stall() : () => undefined;
      const thaw = slot.freeze();
      return () => {
        thaw();
        release();
      };
    }
    case 'stall':
      return link.stall();
    case 'delay':
      return link.impair({ delayMs: fault.delayMs });
    case 'throttle':
      return link.impair({ bytesPerSecond: fault.bytesPerSecond });
    default:
      return fault satisfies never;
  }
}
