// Which fault strikes whom and when: a pure function of a seed. It injects nothing and knows no process.
import { KeyedRandom } from '../../../shared/random.js';

/** When in a worker's life a fault strikes, counted from the step it is planned for on. */
export const moments = [
  'before-compute',
  'in-compute',
  'in-answer',
  'between-steps',
  'in-validation',
  'in-transfer',
] as const;
export type Moment = (typeof moments)[number];

/** What strikes. */
export type InjectedFault =
  /** SIGKILL; another process takes its place at once. */
  | { kind: 'kill' }
  /** The connection is reset, and connecting is refused for a while. */
  | { kind: 'disconnect'; forMs: number }
  /** SIGSTOP, then SIGCONT. */
  | { kind: 'freeze'; forMs: number }
  /** The connection stays open, and nothing passes for a while. */
  | { kind: 'stall'; forMs: number }
  /** Everything is late for a while. */
  | { kind: 'delay'; forMs: number; delayMs: number }
  /** Everything is slow for a while. */
  | { kind: 'throttle'; forMs: number; bytesPerSecond: number };
export type FaultKind = InjectedFault['kind'];

export interface Fault {
  /** The running step, counted from 1. It strikes at the moment's first coming in this step or behind it. */
  step: number;
  moment: Moment;
  /** Counted from 0. */
  worker: number;
  blow: InjectedFault;
}

export interface PlanOptions {
  seed: number;
  faults: number;
  workers: number;
  steps: number;
  /** Steps behind which there is a validation; none where nothing validates. */
  validationSteps: readonly number[];
  /** A worker silent for this long is taken for dead: half of the freezes and stalls outlast it. */
  heartbeatTimeoutMs: number;
  /** Whether processes can be stopped and continued here. */
  canFreeze: boolean;
}

/** Half of the faults are kills. */
const kindsInTurn: readonly FaultKind[] = [
  'kill',
  'disconnect',
  'kill',
  'freeze',
  'kill',
  'stall',
  'kill',
  'disconnect',
  'kill',
  'delay',
  'kill',
  'freeze',
  'kill',
  'throttle',
];
const sharpMoments: readonly Moment[] = ['in-compute', 'in-answer', 'before-compute', 'between-steps', 'in-compute'];

const shortPauseMs = 200;
const maxShortPauseMs = 1_000;
const beyondSilenceMs = 1_000;

/**
 * The faults in the order in which they are planned: kinds and moments in turn, so that each has its part, in an order, at
 * steps and for workers that the seed decides. The first step is left alone.
 */
export function planFaults(options: PlanOptions): Fault[] {
  const { seed, faults, workers, steps, validationSteps } = options;
  const random = new KeyedRandom(seed, 'faults', 0);
  const order = new KeyedRandom(seed, 'faults', 1).permutation(faults);
  const kinds = kindsInTurn.filter((kind) => options.canFreeze || kind !== 'freeze');
  const planned = Array.from({ length: faults }, (_, index): Fault => {
    const draw = (purpose: number, limit: number) => random.integerAt(8 * index + purpose, limit);
    const turn = order[index];
    const kind = kinds[turn % kinds.length];
    const worker = draw(0, workers);
    // Each has a part of the run for itself; somewhere in it.
    const [first, end] = [index, index + 1].map((part) => 2 + Math.floor((part * (steps - 1)) / faults));
    const step = Math.min(steps, first + draw(1, Math.max(1, end - first)));
    const blow = blowOf(kind, options, draw);
    const round = Math.floor(turn / kinds.length);
    if (kind === 'delay' || kind === 'throttle') return { step, moment: 'between-steps', worker, blow };
    if (validationSteps.length > 0 && turn % 10 === 5) {
      return { step: validationSteps[draw(2, validationSteps.length)], moment: 'in-validation', worker, blow };
    }
    return { step, moment: sharpMoments[(turn + round) % sharpMoments.length], worker, blow };
  });
  return cutTransfers(planned.toSorted((a, b) => a.step - b.step));
}

/** A worker that has taken a killed one's place is sent its shards; every fourth such transfer is cut in the middle. */
function cutTransfers(faults: readonly Fault[]): Fault[] {
  let kills = 0;
  return faults.map((fault, index) => {
    const before = faults[index - 1];
    if (before?.blow.kind !== 'kill' || ++kills % 4 !== 1) return fault;
    return {
      ...fault,
      step: before.step,
      moment: 'in-transfer',
      worker: before.worker,
      blow: { kind: 'disconnect', forMs: 0 },
    };
  });
}

function blowOf(
  kind: FaultKind,
  options: PlanOptions,
  draw: (purpose: number, limit: number) => number,
): InjectedFault {
  const short = shortPauseMs + draw(3, maxShortPauseMs - shortPauseMs);
  const pause = draw(4, 2) === 0 ? short : options.heartbeatTimeoutMs + beyondSilenceMs;
  switch (kind) {
    case 'kill':
      return { kind };
    case 'disconnect':
      return { kind, forMs: draw(4, 2) === 0 ? 0 : short };
    case 'freeze':
    case 'stall':
      return { kind, forMs: pause };
    case 'delay':
      return { kind, forMs: 2 * short, delayMs: 20 + draw(5, 180) };
    case 'throttle':
      return { kind, forMs: 2 * short, bytesPerSecond: 500_000 + draw(5, 1_500_000) };
    default:
      return kind satisfies never;
  }
}
