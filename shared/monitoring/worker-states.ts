// The states of a worker, in the status of a run and in what a relay reports.

/**
 * The state of a connected worker: `working` on slices or an evaluation; `idle`, because it has answered for all its slices
 * in the current step or because no step has started; `spare`, without slices; `late`, because its slices were also
 * assigned to other workers or because it is still busy with an earlier step.
 */
export const connectedStates = ['working', 'idle', 'spare', 'late'] as const;
export type ConnectedState = (typeof connectedStates)[number];

/** The state of a worker, which is `lost` if it is no longer connected. */
export const workerStates = [...connectedStates, 'lost'] as const;
export type WorkerState = (typeof workerStates)[number];
