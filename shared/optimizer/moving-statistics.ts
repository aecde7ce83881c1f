// Updates batch norm's moving statistics, which the coordinator keeps because workers are stateless.

/**
 * Applies moving = (momentum × moving) + ((1 − momentum) × batch) in float32, once per slice, in slice order. For batch
 * norm, each slice is a batch and therefore causes one full update (Hoffer et al. 2017, "Train longer, generalize
 * better", algorithm 1). With one slice, this is Keras's update.
 * @param moving moving statistics vector, updated in place
 * @param batchStatistics one statistics vector per slice, in slice order
 */
export function updateMovingStatistics(
  moving: Float32Array,
  batchStatistics: readonly Float32Array[],
  momentum: number,
): void {
  const keep = Math.fround(momentum);
  const take = Math.fround(1 - momentum);
  for (const batch of batchStatistics) {
    for (let i = 0; i < moving.length; i++) moving[i] = Math.fround(keep * moving[i]) + Math.fround(take * batch[i]);
  }
}

/**
 * Applies the updates of several local steps per slice, slice after slice: moving = (momentum^steps × moving) + folded.
 * Except for rounding, this is the same as one update after the other, because an update is linear in the moving
 * statistics.
 * @param folded for each slice, the moving statistics that its updates make of zeros, in slice order
 * @param steps number of local steps
 */
export function applyFoldedStatistics(
  moving: Float32Array,
  folded: readonly Float32Array[],
  momentum: number,
  steps: number,
): void {
  let keep = 1;
  for (let step = 0; step < steps; step++) keep = Math.fround(keep * Math.fround(momentum));
  for (const slice of folded) {
    for (let i = 0; i < moving.length; i++) moving[i] = Math.fround(keep * moving[i]) + slice[i];
  }
}
