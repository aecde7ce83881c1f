// Where the time of a step goes, as workers and the coordinator measure it.
/**
 * Where the time of a step goes, in milliseconds. The first five are means over the workers that computed in it, the next
 * two are the coordinator's; `step` is the whole step, from one update to the next.
 */
export interface StepPhases {
  /** From a worker's last answer to the next weights: transfer, reduction, update, waiting for other workers. */
  waitForWeights: number;
  augment: number;
  compute: number;
  /** Adding up the worker's own slices. */
  add: number;
  /** From handing the answer to the socket until the socket has sent it. */
  send: number;
  /** Adding up the workers' partial sums. */
  reduce: number;
  /** The optimizer, the moving statistics, and encoding the next weights. */
  update: number;
  step: number;
}

/** Where a worker's time in a step went, in milliseconds. */
export interface WorkerPhases {
  waitMs: number;
  augmentMs: number;
  computeMs: number;
  reduceMs: number;
  sendMs: number;
}

/** What one worker contributed to a step. */
export interface WorkerContribution {
  name: string;
  /** Images whose gradients counted. */
  images: number;
  /** Sums over its answers that counted. */
  phases: WorkerPhases;
  /** Milliseconds in which only this worker's answer was missing; 0 for all but the last. */
  waitedForMs: number;
}

export function zeroPhases(): StepPhases {
  return { waitForWeights: 0, augment: 0, compute: 0, add: 0, send: 0, reduce: 0, update: 0, step: 0 };
}

export const phaseNames = Object.keys(zeroPhases()) as (keyof StepPhases)[];

/** The means over the workers, and the coordinator's own phases. */
export function stepPhases(
  workers: readonly { phases: WorkerPhases }[],
  own: Pick<StepPhases, 'reduce' | 'update' | 'step'>,
): StepPhases {
  const mean = (key: keyof WorkerPhases) =>
    workers.reduce((sum, { phases }) => sum + phases[key], 0) / Math.max(1, workers.length);
  return {
    waitForWeights: mean('waitMs'),
    augment: mean('augmentMs'),
    compute: mean('computeMs'),
    add: mean('reduceMs'),
    send: mean('sendMs'),
    ...own,
  };
}
