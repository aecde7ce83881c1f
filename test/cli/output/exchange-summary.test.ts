import { describe, expect, it } from 'vitest';
import { describeExchange, summarizeExchange } from '../../../cli/output/exchange-summary.js';

/** 1,000 weights in one array, and 10 statistics. */
const layout = {
  weightsSize: 1000,
  statisticsSize: 10,
  weights: [{ name: 'w', shape: [1000], size: 1000, offset: 0 }],
};

describe('what a step exchanges', () => {
  it('is the weights and a gradient', () => {
    const [float32, int8] = summarizeExchange(layout, 1);
    // (1000 + 10) values of 4 bytes each way: 8,080 bytes, which take 6.464 ms at 10 Mbit/s.
    expect(float32).toMatchObject({ encoding: 'float32', weightsBytes: 4040, transferMs: [{ ms: 6.464 }, {}, {}] });
    expect(float32.gradientBytes).toEqual([
      { slices: 1, bytes: 4040 },
      { slices: 2, bytes: 4080 },
      { slices: 4, bytes: 4160 },
    ]);
    // Two scales and ten statistics of 4 bytes, and a byte per weight.
    expect(int8).toMatchObject({ encoding: 'int8', weightsBytes: 1048 });
  });

  it('is divided by the number of local steps', () => {
    const [whole] = summarizeExchange(layout, 1);
    const [shared] = summarizeExchange(layout, 8);
    expect(shared.weightsBytes).toBe(whole.weightsBytes / 8);
    expect(shared.gradientBytes[1].bytes).toBe(whole.gradientBytes[1].bytes / 8);
    expect(shared.transferMs[0].ms).toBe(whole.transferMs[0].ms / 8);
    expect(describeExchange([shared], 8)[0]).toMatch(/^Per step and worker, with one exchange in 8 steps +float32$/);
  });
});
