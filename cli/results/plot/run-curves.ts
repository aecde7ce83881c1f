// A run's curves from the text of its metrics.jsonl. Pure.
import { z } from 'zod';
import { bucketsOf, bucketSizeFor, type Buckets } from '../../../web/charts/buckets.js';
import { stepQuantities, type Evaluation, type RunCurves, type StepQuantity } from '../../../web/plot/curves.js';
import { LockstepError } from '../../../shared/errors.js';

/** Points of a curve: more than a wide screen has pixels for a chart. */
const pointLimit = 2048;

/** JSON has no word for a loss that is not a number: it is null there. */
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
 * @param text the whole of metrics.jsonl; what a running run has written of its last line is left out
 * @param source the file's name, for errors
 * Throws `bad-data` where a line is none of metrics.jsonl, and where there is no step yet.
 */
export function curvesFrom(text: string, source: string): Omit<RunCurves, 'name' | 'settings' | 'batchSize'> {
  const lines = parseLines(text, source);
  const steps = onceEach(lines.filter((each) => each.type === 'step'));
  if (steps.length === 0) {
    throw new LockstepError('bad-data', `${source} has no step yet: plot the run when it has made one`);
  }
  const last = steps[steps.length - 1].step;
  const size = bucketSizeFor(steps.length, pointLimit);
  const places = steps.map(({ step }) => step);
  const curveOf = (quantity: StepQuantity): Buckets =>
    shortened(
      bucketsOf(
        places,
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
    validations: onceEach(lines.filter((each) => each.type === 'validation')).flatMap(evaluationOf),
    test: tests.flatMap(evaluationOf).at(-1) ?? null,
    resumedAtSteps: lines.flatMap((each) => (each.type === 'event' && each.event === 'resumed' ? [each.step] : [])),
  };
}

function parseLines(text: string, source: string): Line[] {
  const texts = text.split('\n');
  // Behind the last line's end; more than nothing where it has none yet.
  texts.pop();
  return texts.map((json, index) => {
    const parsed = line.safeParse(parseOrUndefined(json));
    if (parsed.success) return parsed.data;
    throw new LockstepError(
      'bad-data',
      `line ${index + 1} of ${source} is no line of a run's metrics: ${json.slice(0, 80)}`,
    );
  });
}

function parseOrUndefined(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** Each step once and in order: its last line counts. */
function onceEach<L extends { step: number }>(lines: readonly L[]): L[] {
  return [...new Map(lines.map((each) => [each.step, each])).values()].toSorted((a, b) => a.step - b.step);
}

function evaluationOf({ step, epoch, loss, accuracy }: z.infer<typeof evaluation>): Evaluation[] {
  return loss === null || accuracy === null ? [] : [{ step, epoch, loss: short(loss), accuracy: short(accuracy) }];
}

/** Known once a second epoch has begun. */
function stepsPerEpochOf(steps: readonly { step: number; epoch: number }[]): number | null {
  const later = steps.find(({ epoch }, index) => index > 0 && epoch > steps[index - 1].epoch);
  return later === undefined ? null : (later.step - 1) / (later.epoch - 1);
}

function shortened({ x, mean, low, high }: Buckets): Buckets {
  return { x, mean: mean.map(short), low: low.map(short), high: high.map(short) };
}

/** Six digits, which no screen shows more of: a page is a third as long. */
function short(value: number): number {
  return Number(value.toPrecision(6));
}
