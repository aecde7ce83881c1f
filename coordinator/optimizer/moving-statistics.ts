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
