import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import type { ImageBatch } from '../../../shared/dataset/image-batch.js';
import { resolveConfig } from '../../../shared/config/config.js';
import type { EngineModel } from '../../../worker/engine.js';
import { measureModels } from '../../../worker/measurement/measure-models.js';
import { resnetLayout } from '../../support/resnet-layout.js';

const { recordBytes } = cifar10Format;

const layout = resnetLayout(resolveConfig({ depth: 8, initialFilters: 4 }));

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

const fail = (_index: number, error: unknown) => {
  throw error;
};

interface TimedModel extends EngineModel {
  slices: number;
}

/** Returns a model whose slices take the given milliseconds; the last duration repeats. */
function modelTaking(durationsMs: readonly number[], names: string[] = [], name = ''): TimedModel {
  return {
    slices: 0,
    setWeights: (weights) => expect(weights.every((weight) => Math.abs(weight) < 0.0501)).toBe(true),
    computeSlice(batch) {
      const { records, indices } = batch;
      expect([records.length, indices.length]).toEqual([32 * recordBytes, 32]);
      vi.advanceTimersByTime(durationsMs[Math.min(this.slices++, durationsMs.length - 1)]);
      names.push(name);
      const result = { sampleCount: 32, lossSum: 0, correctCount: 0, augmentMs: 0, computeMs: 0 };
      return Promise.resolve({ ...result, gradientSum: new Float32Array(), batchStatistics: new Float32Array() });
    },
    evaluate: () => Promise.reject(new Error('not measured')),
    dispose: () => undefined,
  };
}

describe('the speed of a model', () => {
  it('is the median over its slices, without the first two, which may compile or trace', async () => {
    // 32 images in 100 ms are 320 images/s. One slice in four takes 900 ms.
    const slow = modelTaking([5000, 900, 100, 900, 100, 100, 100]);
    expect(await measureModels([slow], layout, 32, fail)).toEqual([320]);
  });

  it('is undefined if it cannot compute slices of this size', async () => {
    const failing = { ...modelTaking([1]), computeSlice: () => Promise.reject(new Error('out of memory')) };
    const failures: unknown[] = [];
    const speeds = await measureModels([failing, modelTaking([100])], layout, 32, (...failure) =>
      failures.push(failure),
    );
    expect(speeds).toEqual([undefined, 320]);
    expect(failures).toEqual([[0, new Error('out of memory')]]);
  });

  it('is measured in turns with the other models', async () => {
    const names: string[] = [];
    const models = [modelTaking([250], names, 'a'), modelTaking([125], names, 'b')];
    expect(await measureModels(models, layout, 32, fail)).toEqual([128, 256]);
    // After two slices of each for warming up, a turn of at least 250 ms is one slice of `a`, or two slices of `b`.
    const turns = Array.from({ length: 4 }, () => ['a', 'b', 'b']).flat();
    expect(names).toEqual(['a', 'a', 'b', 'b', ...turns]);
  });

  it('is not measured any further when the signal is aborted', async () => {
    const controller = new AbortController();
    const model = modelTaking([10]);
    const slowed = {
      ...model,
      computeSlice: (batch: ImageBatch) => {
        if (model.slices === 5) controller.abort(new Error('the connection was lost'));
        return model.computeSlice(batch);
      },
    };
    await expect(measureModels([slowed], layout, 32, fail, controller.signal)).rejects.toThrow(
      'the connection was lost',
    );
    expect(model.slices).toBe(6);
  });
});
