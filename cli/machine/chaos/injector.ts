// Lets planned faults strike: waits for a fault's step and moment at its worker's link, then signals the process or
// worsens the link, and mends it when the fault's time is over.
import type { Clock } from '../../../shared/clock.js';
import type { LinkMark } from './faulty-link.js';
import type { FaultLog } from './fault-log.js';
import type { Fault, Moment } from './fault-plan.js';
import type { WorkerSlot } from './worker-slot.js';

export interface InjectorOptions {
  slots: readonly WorkerSlot[];
  faults: readonly Fault[];
  log: FaultLog;
  clock: Clock;
  /** What a slice takes to compute: a worker with an order is in compute after half of it. */
  sliceMs: number;
  /** Names of the workers that the coordinator has. */
  workersHere: ReadonlySet<string>;
  /** Of the whole run. */
  steps: number;
}

export class Injector {
  readonly #options: InjectorOptions;
  readonly #waiting: Fault[];
  /** Slots whose last fault is not over, and what ends it. */
  readonly #mending = new Map<WorkerSlot, () => void>();
  /** Faults that strike unless the worker answers before. */
  readonly #aimed = new Map<WorkerSlot, () => void>();
  /** Counted from 1. */
  #running = 1;

  constructor(options: InjectorOptions) {
    this.#options = options;
    this.#waiting = [...options.faults];
    for (const slot of options.slots) slot.link.on('mark', (mark) => this.#passes(slot, mark));
  }

  /** Planned faults whose moment has not come. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** A step is complete; so many updates have been made. */
  stepComplete(step: number): void {
    this.#running = step + 1;
    for (const slot of this.#options.slots) this.#moment(slot, 'between-steps');
  }

  /** Mends everything; nothing strikes any more. */
  stop(): void {
    this.#waiting.length = 0;
    for (const takeBack of this.#aimed.values()) takeBack();
    for (const mend of this.#mending.values()) mend();
  }

  #passes(slot: WorkerSlot, { direction, place, message }: LinkMark): void {
    switch (`${direction} ${message.type} ${place}`) {
      case 'down weights end':
        return this.#moment(slot, 'before-compute');
      case 'down compute end':
        return this.#aim(slot);
      case 'up gradient head':
        this.#aimed.get(slot)?.();
        return undefined;
      case 'up gradient middle':
        return this.#moment(slot, 'in-answer');
      case 'down evaluate end':
        return this.#moment(slot, 'in-validation');
      case 'down shard-chunk middle':
        return this.#moment(slot, 'in-transfer');
      default:
        return undefined;
    }
  }

  #due(slot: WorkerSlot, moment: Moment): Fault | undefined {
    const { steps, workersHere } = this.#options;
    if (this.#mending.has(slot) || !slot.isRunning || !workersHere.has(slot.name)) return undefined;
    // Behind the last step there are evaluations.
    if (this.#running > steps && moment !== 'in-validation') return undefined;
    return this.#waiting.find(
      (fault) => fault.worker === slot.index && fault.moment === moment && fault.step <= this.#running,
    );
  }

  #moment(slot: WorkerSlot, moment: Moment): void {
    const fault = this.#due(slot, moment);
    if (fault !== undefined) this.#strike(slot, fault);
  }

  /** An order has gone to the worker: half a slice's time later it computes, unless its answer is here by then. */
  #aim(slot: WorkerSlot): void {
    if (this.#due(slot, 'in-compute') === undefined || this.#aimed.has(slot)) return;
    const stopTimer = this.#options.clock.after(this.#options.sliceMs / 2, () => {
      this.#aimed.delete(slot);
      this.#moment(slot, 'in-compute');
    });
    this.#aimed.set(slot, () => {
      this.#aimed.delete(slot);
      stopTimer();
    });
  }

  #strike(slot: WorkerSlot, fault: Fault): void {
    const { log, clock, workersHere } = this.#options;
    this.#waiting.splice(this.#waiting.indexOf(fault), 1);
    log.struck(fault, {
      nowMs: clock.now(),
      // A validation belongs to the step before it.
      step: fault.moment === 'in-validation' ? this.#running - 1 : this.#running,
      name: slot.name,
      othersHere: workersHere.size - 1,
    });
    const mend = blowTo(slot, fault);
    if (!('forMs' in fault.blow)) return;
    const end = () => {
      stopTimer();
      this.#mending.delete(slot);
      mend();
    };
    const stopTimer = clock.after(fault.blow.forMs, end);
    this.#mending.set(slot, end);
  }
}

/** @returns what mends it */
function blowTo(slot: WorkerSlot, { blow, moment }: Fault): () => void {
  const { link } = slot;
  const isInMessage = moment === 'in-answer' || moment === 'in-transfer';
  switch (blow.kind) {
    case 'kill':
      slot.kill();
      // What the system would still deliver of a message, it does not deliver of this one.
      if (isInMessage) link.cut();
      return () => undefined;
    case 'disconnect': {
      link.cut();
      return blow.forMs > 0 ? link.refuse() : () => undefined;
    }
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
      return link.worsen({ delayMs: blow.delayMs });
    case 'throttle':
      return link.worsen({ bytesPerSecond: blow.bytesPerSecond });
    default:
      return blow satisfies never;
  }
}
