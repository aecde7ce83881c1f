// Extracts the curves of a run from the text of its metrics.jsonl.
import { z } from 'zod';
import { bucketsOf, bucketSizeFor, type Buckets } from '../../../web/charts/buckets.js';
import { stepQuantities, type Evaluation, type RunCurves, type StepQuantity } from '../../../web/plot/curves.js';
import { LockstepError } from '../../../shared/errors.js';
import { parseJson } from '../../../shared/json.js';

/** Maximum number of points per curve: more than the pixel width of a chart on a wide screen. */
const maxPoints = 2048;

/** A number, or null for NaN and infinity, which JSON cannot represent. */
const measured = z.number().nullable();
const evaluation = z.object({ step: z.number(), epoch: z.number(), loss: measured, accuracy: measured });
const line = z.discriminatedUnion('type', [
  evaluation.extend({ type: z.literal('step'), learningRate: z.number(), imagesPerSecond: measured }),
  evaluation.extend({ type: z.literal('validation') }),
  evaluation.extend({ type: z.literal('test') }),
  z.object({ type: z.literal('event'), step: z.number(), event: z.string() }),
]);
type Line = z.infer<typeof line>;

/**
 * Extracts the curves. Throws `bad-data` for an invalid line, or if there are no steps yet.
 * @param text contents of metrics.jsonl; an incomplete last line is ignored, because the run may still be writing it
 * @param source file name for error messages
 */
export function curvesFrom(text: string, source: string): Omit<RunCurves, 'name' | 'settings' | 'batchSize'> {
  const lines = parseLines(text, source);
  const steps = lastOfEachStep(lines.filter((each) => each.type === 'step'));
  if (steps.length === 0) {
    throw new LockstepError('bad-data', `${source} has no steps yet: plot the run after its first step`);
  }
  const last = steps[steps.length - 1].step;
  const size = bucketSizeFor(steps.length, maxPoints);
  const stepNumbers = steps.map(({ step }) => step);
  const curveOf = (quantity: StepQuantity): Buckets =>
    roundedBuckets(
      bucketsOf(
        stepNumbers,
        steps.map((step) => step[quantity] ?? NaN),
        size,
      ),
    );
  const tests = lines.filter((each) => each.type === 'test');
  return {
    isFinished: tests.some(({ step }) => step >= last),
    steps: last,
    stepsPerEpoch: stepsPerEpochOf(steps),
    stepsPerPoint: size,
    perStep: Object.fromEntries(
      stepQuantities.map((quantity) => [quantity, curveOf(quantity)]),
    ) as RunCurves['perStep'],
    validations: lastOfEachStep(lines.filter((each) => each.type === 'validation')).flatMap(evaluationOf),
    test: tests.flatMap(evaluationOf).at(-1) ?? null,
    resumedAtSteps: lines.flatMap((each) => (each.type === 'event' && each.event === 'resumed' ? [each.step] : [])),
  };
}

function parseLines(text: string, source: string): Line[] {
  const texts = text.split('\n');
  // The text after the last newline is empty or an incomplete line.
  texts.pop();
  return texts.map((json, index) => {
    const parsed = line.safeParse(parseJson(json));
    if (parsed.success) return parsed.data;
    throw new LockstepError(
      'bad-data',
      `line ${index + 1} of ${source} is not a valid line of metrics: ${json.slice(0, 80)}`,
    );
  });
}

/** Returns the last line of each step, sorted by step. A step that was repeated after resuming has several lines. */
function lastOfEachStep<L extends { step: number }>(lines: readonly L[]): L[] {
  return [...new Map(lines.map((each) => [each.step, each])).values()].toSorted((a, b) => a.step - b.step);
}

function evaluationOf({ step, epoch, loss, accuracy }: z.infer<typeof evaluation>): Evaluation[] {
  return loss === null || accuracy === null ? [] : [{ step, epoch, loss: rounded(loss), accuracy: rounded(accuracy) }];
}

/** Returns the number of steps per epoch, or null if the steps belong to a single epoch. */
function stepsPerEpochOf(steps: readonly { step: number; epoch: number }[]): number | null {
  const later = steps.findIndex(({ epoch }, index) => index > 0 && epoch > steps[index - 1].epoch);
  if (later <= 0) return null;
  // An epoch ends with a line, but in a run with local steps, its first line is that of several steps.
  const { step, epoch } = steps[later - 1];
  return step / epoch;
}

function roundedBuckets({ x, mean, low, high }: Buckets): Buckets {
  return { x, mean: mean.map(rounded), low: low.map(rounded), high: high.map(rounded) };
}

/** Rounds to six significant digits, more than a screen can show. This makes the page a third as long. */
function rounded(value: number): number {
  return Number(value.toPrecision(6));
}
