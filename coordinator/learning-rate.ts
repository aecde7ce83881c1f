// The global learning-rate schedule: a pure function of the step, so that a resumed run needs no state of it.

/**
 * Keras's PiecewiseConstantDecay: the rate before the first boundary, divided by 10 behind each one.
 * @param step counted from 0; Keras moves on when it is GREATER than the boundary, so the step that equals a boundary
 * still has the rate before it
 */
export function learningRateAt(
  step: number,
  schedule: { learningRate: number; learningRateBoundaries: readonly number[] },
): number {
  const passed = schedule.learningRateBoundaries.filter((boundary) => step > boundary).length;
  return schedule.learningRate / 10 ** passed;
}
