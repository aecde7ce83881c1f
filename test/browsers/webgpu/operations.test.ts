// Every operation, forward and backward, compared with float64 loops, at sizes that fit no tile, strip or vector.
import { afterAll, describe, expect, test } from 'vitest';
import { recordFormat } from '../../../shared/dataset/record-format.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { randomBatch, randomWeights } from '../../support/random-batch.js';
import { openWebGpuOrReason } from '../../support/webgpu.js';
import { sayWhySkipped } from '../../support/why-skipped.js';
import { branchingNetwork } from '../../worker/engines/webgpu/branches.js';
import { errorsOf } from '../../worker/engines/webgpu/compare.js';

const opened = await openWebGpuOrReason();
const engine = typeof opened === 'string' ? null : opened;
if (typeof opened === 'string') sayWhySkipped('the operations of the webgpu engine', opened);
afterAll(() => engine?.close());

const cases = [
  { channels: 1, colors: 1, isComplete: false },
  { channels: 3, colors: 3, isComplete: false },
  { channels: 17, colors: 3, isComplete: true },
] as const;

describe.skipIf(engine === null).each(cases)('with $channels channels', ({ channels, colors, isComplete }) => {
  test('operations agree with the reference for 1, 3, 31 and 33 images', { timeout: 300_000 }, async () => {
    const data = { height: 5, width: 7, channels: colors, classCount: 5 };
    const layout = layoutNetwork(branchingNetwork(channels, isComplete), data);
    const weights = randomWeights(layout, 3);
    const model = await engine!.createModel(layout, 'imagenet', 0.1);
    const errors = [];
    for (const count of [33, 1, 3, 31]) {
      const batch = {
        ...randomBatch(count, 5, recordFormat(layout.data)),
        dropoutKey: { seed: 1, step: 2, slice: 3 },
      };
      for (const error of await errorsOf(model, layout, weights, batch, 2e-6)) errors.push({ count, ...error });
    }
    model.dispose();
    expect(errors).toEqual([]);
  });
});
