// What a worker and the coordinator exchange in a step, in each encoding, and how long that takes.
import { encodings, type Encoding } from '../../shared/encoding/encodings.js';
import { gradientBytes, weightsBytes } from '../../shared/encoding/exchange-size.js';
import type { GradientLayout } from '../../shared/encoding/partial-sum.js';
import { formatBytes, formatLatency } from './format.js';
import { formatTable } from './table.js';

const sliceCounts = [1, 2, 4] as const;
const megabitsPerSecond = [10, 100, 1000] as const;

/** The exchange between the coordinator and one worker in a step or, with local steps, a step's share of a round. */
export interface ExchangeSummary {
  encoding: Encoding;
  /** Bytes of the weights. */
  weightsBytes: number;
  /** Bytes of the gradient over this many slices. */
  gradientBytes: readonly { slices: number; bytes: number }[];
  /** Milliseconds in which the weights and the gradient of one slice pass through a link of this speed. */
  transferMs: readonly { megabitsPerSecond: number; ms: number }[];
}

/** @param localSteps number of steps between two exchanges */
export function summarizeExchange(layout: GradientLayout, localSteps: number): ExchangeSummary[] {
  return encodings.map((encoding) => {
    const weights = weightsBytes(layout, encoding) / localSteps;
    const gradient = (slices: number) => gradientBytes(layout, encoding, slices) / localSteps;
    const bits = 8 * (weights + gradient(1));
    return {
      encoding,
      weightsBytes: weights,
      gradientBytes: sliceCounts.map((slices) => ({ slices, bytes: gradient(slices) })),
      transferMs: megabitsPerSecond.map((speed) => ({ megabitsPerSecond: speed, ms: bits / (1000 * speed) })),
    };
  });
}

/** Returns a table with a column per encoding. */
export function describeExchange(summaries: readonly ExchangeSummary[], localSteps: number): string[] {
  const row = (name: string, cell: (summary: ExchangeSummary) => string) => [name, ...summaries.map(cell)];
  return formatTable([
    row(
      localSteps === 1 ? 'Per step and worker' : `Per step and worker, with one exchange in ${localSteps} steps`,
      ({ encoding }) => encoding,
    ),
    row('weights', (summary) => formatBytes(summary.weightsBytes)),
    ...sliceCounts.map((slices, index) =>
      row(`gradient of ${slices === 1 ? '1 slice' : `${slices} slices`}`, (summary) =>
        formatBytes(summary.gradientBytes[index].bytes),
      ),
    ),
    ...megabitsPerSecond.map((speed, index) =>
      row(`weights and gradient of 1 slice at ${speed.toLocaleString('en-US')} Mbit/s`, (summary) =>
        formatLatency(summary.transferMs[index].ms),
      ),
    ),
  ]);
}
