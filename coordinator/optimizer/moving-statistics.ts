// Batch norm's moving statistics, kept by the coordinator: workers have no state.

/**
 * moving = momentum × moving + (1 − momentum) × batch, in float32, once per slice in slice order. Each slice is a batch
 * to batch norm, so each moves the averages by a whole step (Hoffer et al. 2017, "Train longer, generalize better",
 * algorithm 1); with one slice it is Keras's update.
 * @param moving the statistics vector, changed in place
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
