import { describe, expect, it } from 'vitest';
import { identityAugmentations, packAugmentation, type ImageBatch } from '../../../shared/dataset/image-batch.js';
import { recordFormat } from '../../../shared/dataset/record-format.js';
import { viewsOf } from '../../../shared/dataset/test-time-augmentation.js';
import { cropBatch } from '../../../worker/augmentation.js';
import { evaluateViews } from '../../../worker/computation/evaluate-views.js';
import type { EngineModel } from '../../../worker/engine.js';

const format = recordFormat({ height: 3, width: 3, channels: 1, classCount: 2 });
const batch: ImageBatch = {
  records: Uint8Array.of(1, 10, 20, 30, 40, 50, 60, 70, 80, 90),
  format,
  indices: Uint32Array.of(0),
  augmentations: identityAugmentations(1),
};

/** A model whose logits are the upper-left pixel and 60. */
function cornerModel(): EngineModel & { corners: number[] } {
  const corners: number[] = [];
  return {
    corners,
    setWeights: () => undefined,
    computeSlice: () => Promise.reject(new Error('not part of this test')),
    dispose: () => undefined,
    evaluate(given) {
      const image = new Uint8Array(9);
      cropBatch(given, image);
      corners.push(image[0]);
      const logits = Float32Array.of(image[0], 60);
      return Promise.resolve({ sampleCount: 1, lossSum: 7, correctCount: 0, augmentMs: 1, computeMs: 2, logits });
    },
  };
}

describe('test-time augmentation', () => {
  it('none returns the result of the model', async () => {
    const model = cornerModel();
    expect(await evaluateViews(model, batch, 'none')).toMatchObject({ lossSum: 7, correctCount: 0 });
    expect(model.corners).toEqual([10]);
  });

  it('flip averages the logits of the image and its mirror image', async () => {
    const model = cornerModel();
    const result = await evaluateViews(model, batch, 'flip');
    expect(model.corners).toEqual([10, 30]);
    expect([...result.logits]).toEqual([20, 60]);
    // The label is 1, whose logit is the largest: -log(e^60 / (e^20 + e^60)) = log(1 + e^-40).
    expect(result).toMatchObject({ sampleCount: 1, correctCount: 1, augmentMs: 2, computeMs: 4 });
    expect(result.lossSum).toBeCloseTo(Math.log1p(Math.exp(-40)), 12);
  });

  it('flip-and-shift adds both, shifted by a pixel up-left and down-right with reflected padding', async () => {
    const model = cornerModel();
    const { logits } = await evaluateViews(model, batch, 'flip-and-shift');
    // Shifted down-right, the upper-left pixel is row -1 and column -1, which reflect row 1 and column 1: 50. The mirror
    // image of that shows, at the upper left, the upper right of the shifted image: row 1, column 1 (50). Shifted up-left,
    // the upper-left pixel is row 1 and column 1 (50), and the upper right row 1 and column 3, which reflects column 1.
    expect(model.corners).toEqual([10, 30, 50, 50, 50, 50]);
    expect(logits[0]).toBe(0.25 * (10 + 30) + 0.125 * 4 * 50);
  });

  it('weights add up to 1, and mirrored views mirror the shifted ones', () => {
    for (const name of ['flip', 'flip-and-shift'] as const) {
      expect(viewsOf(name).reduce((sum, { weight }) => sum + weight, 0)).toBe(1);
    }
    expect(viewsOf('flip-and-shift').slice(2, 4)).toEqual([
      { augmentation: packAugmentation(3, 3, false, 'reflect'), weight: 0.125 },
      { augmentation: packAugmentation(3, 5, true, 'reflect'), weight: 0.125 },
    ]);
    const wide: ImageBatch = {
      records: Uint8Array.from({ length: 17 }, (_, i) => 10 * i),
      format: recordFormat({ height: 4, width: 4, channels: 1, classCount: 2 }),
      indices: Uint32Array.from({ length: 6 }),
      augmentations: Uint16Array.from(viewsOf('flip-and-shift'), ({ augmentation }) => augmentation),
    };
    const images = new Uint8Array(6 * 16);
    cropBatch(wide, images);
    for (const view of [0, 2, 4]) {
      for (let row = 16 * view; row < 16 * view + 16; row += 4) {
        expect([...images.subarray(row + 16, row + 20)]).toEqual([...images.subarray(row, row + 4)].toReversed());
      }
    }
  });

  it('the loss is not a number if a logit is not', async () => {
    const model = cornerModel();
    const evaluate = model.evaluate.bind(model);
    model.evaluate = async (given) => ({ ...(await evaluate(given)), logits: Float32Array.of(Number.NaN, 1) });
    const result = await evaluateViews(model, batch, 'flip');
    expect(result.lossSum).toBeNaN();
    expect(result.correctCount).toBe(0);
  });
});
