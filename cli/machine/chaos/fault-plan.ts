// Plans faults: a pure function of its options that decides which fault hits which worker, and when. The seed
// determines every random choice.
import { KeyedRandom } from '../../../shared/random.js';

/** When a fault is injected, relative to what its worker is doing. */
export const triggers = [
  'before-compute',
  'in-compute',
  'in-answer',
  'between-steps',
  'in-validation',
  'in-transfer',
] as const;
export type Trigger = (typeof triggers)[number];

export type Fault =
  /** SIGKILL; a new process replaces the worker immediately. */
  | { kind: 'kill' }
  /** The connection is reset, and new connections are refused for `forMs`. */
  | { kind: 'disconnect'; forMs: number }
  /** SIGSTOP, and SIGCONT after `forMs`. */
  | { kind: 'freeze'; forMs: number }
  /** The connection stays open, but transfers nothing for `forMs`. */
  | { kind: 'stall'; forMs: number }
  /** All bytes are delayed by `delayMs`, for `forMs`. */
  | { kind: 'delay'; forMs: number; delayMs: number }
  /** The bandwidth is limited for `forMs`. */
  | { kind: 'throttle'; forMs: number; bytesPerSecond: number };
type FaultKind = Fault['kind'];

export interface PlannedFault {
  /** One-based step number. The fault is injected when its trigger first occurs in this step or later. */
  step: number;
  trigger: Trigger;
  /** Zero-based index of the worker. */
  worker: number;
  fault: Fault;
}

export interface PlanOptions {
  seed: number;
  faults: number;
  workers: number;
  steps: number;
  /** Numbers of the steps that are followed by a validation. */
  validationSteps: readonly number[];
  /** Heartbeat timeout of the run. Half of the freezes and stalls exceed it, so that the worker is disconnected. */
  heartbeatTimeoutMs: number;
  /** Whether this system can suspend and resume processes (SIGSTOP, SIGCONT). */
  canFreeze: boolean;
}

/** Kinds of faults that alternate with kills. Kinds that are listed twice occur twice as often. */
const otherKinds: readonly FaultKind[] = ['disconnect', 'freeze', 'stall', 'disconnect', 'delay', 'freeze', 'throttle'];
const stepTriggers: readonly Trigger[] = ['in-compute', 'in-answer', 'before-compute', 'between-steps', 'in-compute'];

const minPauseMs = 200;
const maxPauseMs = 1_000;
/** Time by which a long pause exceeds the heartbeat timeout. */
const beyondTimeoutMs = 1_000;

/**
 * Returns the planned faults, sorted by step. Kinds and triggers rotate, so that each of them occurs; the seed
 * determines their order, the steps and the workers. The first step has no faults.
 */
export function planFaults(options: PlanOptions): PlannedFault[] {
  const { seed, faults, workers, steps, validationSteps, canFreeze } = options;
  const random = new KeyedRandom(seed, 'faults', 0);
  const order = new KeyedRandom(seed, 'faults', 1).permutation(faults);
  const kinds = otherKinds
    .flatMap((kind): FaultKind[] => ['kill', kind])
    .filter((kind) => canFreeze || kind !== 'freeze');
  const planned = Array.from({ length: faults }, (_, index): PlannedFault => {
    const draw = (purpose: number, limit: number) => random.integerAt(8 * index + purpose, limit);
    const turn = order[index];
    const kind = kinds[turn % kinds.length];
    const worker = draw(0, workers);
    // The run is divided into one section per fault. Each fault occurs at a random step of its section.
    const [first, end] = [index, index + 1].map((section) => 2 + Math.floor((section * (steps - 1)) / faults));
    const step = Math.min(steps, first + draw(1, Math.max(1, end - first)));
    const fault = faultOf(kind, options, draw);
    const round = Math.floor(turn / kinds.length);
    if (kind === 'delay' || kind === 'throttle') return { step, trigger: 'between-steps', worker, fault };
    if (validationSteps.length > 0 && turn % 10 === 5) {
      return { step: validationSteps[draw(2, validationSteps.length)], trigger: 'in-validation', worker, fault };
    }
    return { step, trigger: stepTriggers[(turn + round) % stepTriggers.length], worker, fault };
  });
  return interruptTransfers(planned.toSorted((a, b) => a.step - b.step));
}

/**
 * Interrupts shard transfers: a worker that replaces a killed one receives its shards again, and every fourth such
 * transfer is interrupted by a disconnection. The disconnection takes the place of the fault planned after the kill.
 */
function interruptTransfers(faults: readonly PlannedFault[]): PlannedFault[] {
  let kills = 0;
  return faults.map((planned, index) => {
    const previous = faults[index - 1];
    if (previous?.fault.kind !== 'kill' || ++kills % 4 !== 1) return planned;
    const { step, worker } = previous;
    return { step, trigger: 'in-transfer', worker, fault: { kind: 'disconnect', forMs: 0 } };
  });
}

function faultOf(
  kind: FaultKind,
  { heartbeatTimeoutMs }: PlanOptions,
  draw: (purpose: number, limit: number) => number,
): Fault {
  const shortMs = minPauseMs + draw(3, maxPauseMs - minPauseMs);
  const isShort = draw(4, 2) === 0;
  switch (kind) {
    case 'kill':
      return { kind };
    case 'disconnect':
      return { kind, forMs: isShort ? 0 : shortMs };
    case 'freeze':
    case 'stall':
      return { kind, forMs: isShort ? shortMs : heartbeatTimeoutMs + beyondTimeoutMs };
    case 'delay':
      return { kind, forMs: 2 * shortMs, delayMs: 20 + draw(5, 180) };
    case 'throttle':
      return { kind, forMs: 2 * shortMs, bytesPerSecond: 500_000 + draw(5, 1_500_000) };
    default:
      return kind satisfies never;
  }
}
