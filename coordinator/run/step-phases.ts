// Durations of a step's phases, as measured by the workers and the coordinator.
/**
 * Durations of a step's phases, in milliseconds. The first five are means over the workers that computed in the step,
 * the next two are measured by the coordinator, and `step` is the whole step, from its start, including any wait for
 * workers to join, to the end of its update.
 */
export interface StepPhases {
  /**
   * Time from a worker's last answer to the next weights: transfer, reduction, update, and waiting for other workers.
   */
  waitForWeights: number;
  augment: number;
  compute: number;
  /** Time spent adding up the gradients of the worker's own slices. */
  add: number;
  /** Time from passing the answer to the socket until the socket has sent it. */
  send: number;
  /** Time spent adding up the workers' partial sums. */
  reduce: number;
  /** Time spent on the optimizer, the moving statistics, and encoding the next weights. */
  update: number;
  step: number;
}

/** Durations of one worker's phases in a step. */
export interface WorkerPhases {
  waitMs: number;
  augmentMs: number;
  computeMs: number;
  reduceMs: number;
  sendMs: number;
}

/** Contribution of one worker to a step. */
export interface WorkerContribution {
  name: string;
  /** Number of images whose gradients were accepted. */
  images: number;
  /** Phase durations, summed over the worker's accepted answers. */
  phases: WorkerPhases;
  /** Milliseconds during which only this worker's answer was missing; 0 for all workers but the last to answer. */
  waitedForMs: number;
}

export function zeroPhases(): StepPhases {
  return { waitForWeights: 0, augment: 0, compute: 0, add: 0, send: 0, reduce: 0, update: 0, step: 0 };
}

export const phaseNames = Object.keys(zeroPhases()) as (keyof StepPhases)[];

/** Combines the means over the workers with the coordinator's phases. */
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
