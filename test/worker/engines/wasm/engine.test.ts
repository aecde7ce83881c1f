// The engine's public behavior: threads, reproducible bits, memory, learning and errors.
import { createHash } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import { packAugmentation, recordBytes, type ImageBatch } from '../../../../shared/dataset/image-batch.js';
import type { ModelSpec } from '../../../../shared/network/layout.js';
import { openWasmEngine } from '../../../../worker/engines/wasm/wasm-engine.js';
import { easyBatch, layoutOf, randomBatch, randomMovingStatistics, randomWeights } from './samples.js';

const engines = await Promise.all([1, 2, 3].map((threads) => openWasmEngine({ threads })));
const [engine, ...threaded] = engines as [(typeof engines)[0], ...typeof engines];
afterAll(async () => {
  for (const opened of engines) await opened.close();
});

function hashOf(...arrays: Float32Array[]): string {
  const hash = createHash('sha256');
  for (const array of arrays) hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return hash.digest('hex');
}

/** Returns one hash of everything that a model computes from the batches. */
async function bitsOf(opened: typeof engine, spec: Partial<ModelSpec>, batches: ImageBatch[]): Promise<string> {
  const layout = layoutOf(spec);
  const model = await opened.createModel(layout, 'imagenet');
  const bits: string[] = [];
  for (const [index, batch] of batches.entries()) {
    model.setWeights(randomWeights(layout, index), randomMovingStatistics(layout));
    const { lossSum, correctCount, gradientSum, batchStatistics } = await model.computeSlice(batch);
    const evaluated = await model.evaluate(batch);
    bits.push(hashOf(gradientSum, batchStatistics, Float32Array.of(lossSum, correctCount, evaluated.lossSum)));
  }
  model.dispose();
  return hashOf(Float32Array.from(bits.flatMap((hash) => Array.from(Buffer.from(hash, 'hex')))));
}

describe('the number of threads', () => {
  test('does not change the bits, for any number of images', async () => {
    const batches = [1, 13, 4].map((count) => randomBatch(count));
    for (const spec of [{ shortcut: 'projection' as const, convBias: true }, { initialFilters: 12 }]) {
      const alone = await bitsOf(engine, spec, batches);
      for (const opened of threaded) expect(await bitsOf(opened, spec, batches)).toBe(alone);
    }
  });

  test('is part of the device name but not of the fingerprint', () => {
    expect(new Set(engines.map(({ identity }) => identity.fingerprint)).size).toBe(1);
    expect(engine.identity.device).toMatch(/^\S.*, 1 thread$/);
    for (const { identity } of threaded) expect(identity.device).toMatch(/^\S.*, \d+ threads$/);
    expect(engine.identity).toMatchObject({
      engine: 'wasm',
      fingerprint: expect.stringMatching(/^wasm\/\d+-[0-9a-f]{16}$/) as string,
    });
  });
});

test('ResNet-20 has the same bits on every machine', async () => {
  const spec = { depth: 20, initialFilters: 16, shortcut: 'projection' as const, convBias: true };
  // Verified on x86-64 with and without AVX, with Node 20, 22 and 24, and with and without V8's optimizing compiler.
  expect(await bitsOf(engine, spec, [randomBatch(9)])).toBe(
    '11566b0ee3caeeea7e10da488086659fc15b61d2312685fa19a736f836f4e0e3',
  );
});

test('a slice does not depend on larger or smaller slices before it', async () => {
  const layout = layoutOf();
  const batch = randomBatch(3);
  const model = await engine.createModel(layout, 'imagenet');
  model.setWeights(randomWeights(layout), randomMovingStatistics(layout));
  const first = hashOf((await model.computeSlice(batch)).gradientSum);
  for (const images of [7, 1, 12]) {
    await model.computeSlice(randomBatch(images));
    expect(hashOf((await model.computeSlice(batch)).gradientSum)).toBe(first);
  }
  await model.evaluate(randomBatch(40));
  expect(hashOf((await model.computeSlice(batch)).gradientSum)).toBe(first);
  model.dispose();
});

test('the result of an evaluation does not depend on how many images are processed at a time', async () => {
  const layout = layoutOf();
  const batch = randomBatch(37);
  const model = await engine.createModel(layout, 'imagenet');
  model.setWeights(randomWeights(layout), randomMovingStatistics(layout));
  const whole = await model.evaluate(batch); // processes 32 images, then 5
  let lossSum = 0;
  let correctCount = 0;
  const logits: number[] = [];
  for (let image = 0; image < 37; image++) {
    const one = {
      ...batch,
      indices: batch.indices.slice(image, image + 1),
      augmentations: batch.augmentations.slice(image, image + 1),
    };
    const result = await model.evaluate(one);
    lossSum += result.lossSum;
    correctCount += result.correctCount;
    logits.push(...result.logits);
  }
  expect(whole).toMatchObject({ sampleCount: 37, lossSum, correctCount, logits: Float32Array.from(logits) });
  model.dispose();
});

test('memory does not grow over 200 steps', async () => {
  const layout = layoutOf();
  const batch = randomBatch(2);
  const weights = randomWeights(layout);
  const moving = randomMovingStatistics(layout);
  const model = await engine.createModel(layout, 'imagenet');
  const step = async () => {
    model.setWeights(weights, moving);
    return model.computeSlice(batch);
  };
  const { gradientSum } = await step();
  const bytes = model.memoryBytes;
  for (let i = 0; i < 200; i++) expect((await step()).gradientSum).toBe(gradientSum);
  expect(model.memoryBytes).toBe(bytes);
  model.dispose();
});

test('the loss decreases on images that are easy to distinguish', async () => {
  const layout = layoutOf({ initialFilters: 8 });
  const weights = randomWeights(layout);
  const velocity = new Float32Array(weights.length);
  const batch = easyBatch(20);
  const model = await engine.createModel(layout, 'imagenet');
  const losses: number[] = [];
  for (let step = 0; step < 25; step++) {
    model.setWeights(weights, randomMovingStatistics(layout));
    const { lossSum, gradientSum, sampleCount } = await model.computeSlice(batch);
    losses.push(lossSum / sampleCount);
    for (let i = 0; i < weights.length; i++) {
      velocity[i] = 0.9 * velocity[i] - (0.05 * gradientSum[i]) / sampleCount;
      weights[i] += velocity[i];
    }
  }
  expect(losses.at(-1)).toBeLessThan(0.3 * losses[0]);
  model.dispose();
});

test('a profile contains every phase', async () => {
  const layout = layoutOf();
  const model = await engine.createModel(layout, 'imagenet');
  model.setWeights(randomWeights(layout), randomMovingStatistics(layout));
  const entries = model.profile(randomBatch(2));
  expect(entries.every(({ ms }) => ms >= 0)).toBe(true);
  expect(new Set(entries.map(({ phase }) => phase))).toEqual(
    new Set([
      'weights',
      'images',
      'convolution',
      'batch norm',
      'shortcut',
      'head',
      'input gradient',
      'filter gradient',
      'batch norm gradient',
    ]),
  );
  model.dispose();
});

test('a slice that is too large for the memory is rejected', async () => {
  const layout = layoutOf({ depth: 110, initialFilters: 64 });
  const model = await engine.createModel(layout, 'imagenet');
  const batch = {
    records: new Uint8Array(recordBytes),
    indices: new Uint32Array(4096),
    augmentations: new Uint16Array(4096).fill(packAugmentation(4, 4, false)),
  };
  await expect(model.computeSlice(batch)).rejects.toMatchObject({ code: 'bad-config' });
  model.dispose();
});

test('a disposed model rejects further slices', async () => {
  const model = await engine.createModel(layoutOf(), 'imagenet');
  model.dispose();
  await expect(model.computeSlice(randomBatch(1))).rejects.toMatchObject({ code: 'engine-failed' });
});
