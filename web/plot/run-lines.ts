// Converts the curves of runs to the lines of a chart. Pure.
import type { Buckets } from '../charts/buckets.js';
import type { ChartLine } from '../charts/aligned-lines.js';
import { smoothed } from '../charts/smoothing.js';
import type { Evaluation, RunCurves, StepQuantity } from './curves.js';

export const axes = ['steps', 'epochs', 'images'] as const;
/** The unit of the horizontal axis. */
export type Axis = (typeof axes)[number];

export interface ShownRun {
  run: RunCurves;
  color: string;
}

export interface View {
  axis: Axis;
  /** Smoothing weight, at least 0 and less than 1; see smoothed. */
  smoothing: number;
}

/** Dash pattern of validation curves. Dashes and points distinguish the splits without relying on color. */
const validationDash = [6, 4];

/** Returns the lines of a chart. Omits runs that have no values on the horizontal axis. */
export function linesOf(shown: readonly ShownRun[], quantity: StepQuantity, view: View): ChartLine[] {
  return shown.flatMap(({ run, color }) => {
    const toAxis = axisValueOf(view.axis, run);
    if (toAxis === undefined) return [];
    const curve = run.perStep[quantity];
    const training = trainingLines(run, quantity, { x: curve.x.map(toAxis), curve, color, view });
    if (quantity !== 'loss' && quantity !== 'accuracy') return training;
    const evaluated = (evaluations: readonly Evaluation[]) => ({
      x: evaluations.map(({ step }) => toAxis(step)),
      y: evaluations.map((evaluation) => evaluation[quantity]),
    });
    const validation: ChartLine = {
      label: `${run.name} validation`,
      color,
      dash: validationDash,
      width: 2,
      ...evaluated(run.validations),
    };
    const test: ChartLine = {
      label: `${run.name} test`,
      color,
      isMarks: true,
      ...evaluated(run.test === null ? [] : [run.test]),
    };
    return [...training, ...[validation, test].filter(({ x }) => x.length > 0)];
  });
}

function trainingLines(
  run: RunCurves,
  quantity: StepQuantity,
  { x, curve, color, view }: { x: readonly number[]; curve: Buckets; color: string; view: View },
): ChartLine[] {
  const hasSplits = quantity === 'loss' || quantity === 'accuracy';
  const label = hasSplits ? `${run.name} training` : run.name;
  // The learning rate has no noise, so it is not smoothed.
  const isSmoothed = view.smoothing > 0 && quantity !== 'learningRate';
  const y = isSmoothed ? smoothed(curve.mean, view.smoothing) : curve.mean;
  const isBanded = run.stepsPerPoint > 1 && quantity !== 'learningRate' && !isSmoothed;
  const line: ChartLine = { label, color, x, y, ...(isBanded ? { low: curve.low, high: curve.high } : {}) };
  if (!isSmoothed) return [line];
  return [{ label: `${label}, raw`, color, x, y: curve.mean, width: 1, opacity: 0.25, isQuiet: true }, line];
}

/** Returns a function that maps a step to its value on the axis; undefined if the run lacks the required data. */
export function axisValueOf(
  axis: Axis,
  { stepsPerEpoch, batchSize }: RunCurves,
): ((step: number) => number) | undefined {
  switch (axis) {
    case 'steps':
      return (step) => step;
    case 'epochs':
      return stepsPerEpoch === null ? undefined : (step) => step / stepsPerEpoch;
    case 'images':
      return batchSize === null ? undefined : (step) => step * batchSize;
    default:
      return axis satisfies never;
  }
}
