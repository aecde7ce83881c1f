// The engine's public behavior: threads, reproducible bits, memory, learning and errors.
import { afterAll, describe, expect, test } from 'vitest';
import { cifar10Format } from '../../../../shared/dataset/cifar10-layout.js';
import { identityAugmentations, packAugmentation, type ImageBatch } from '../../../../shared/dataset/image-batch.js';
import type { ResnetOptions } from '../../../../shared/network/networks/resnet.js';
import { cropPlanes } from '../../../../worker/augmentation.js';
import type { WasmEngine, WasmEngineName } from '../../../../worker/engines/wasm/wasm-engine.js';
import { openAvailableWasmEngines } from '../../../support/wasm-engines.js';
import { computeBatches, resNet20, resNet20Images } from './computed-batches.js';
import { hashOf, hashOfBatches, resNet20Sha256 } from './golden-bits.js';
import { easyBatch, randomBatch, randomMovingStatistics, randomWeights } from './samples.js';
import { resnetLayout } from '../../../support/resnet-layout.js';

const { recordBytes } = cifar10Format;

/** Each engine with 1, 2 and 3 threads. */
const opened = await Promise.all([1, 2, 3].map((threads) => openAvailableWasmEngines(threads)));
const [engine] = opened[0];
afterAll(async () => {
  for (const each of opened.flat()) await each.close();
});

/** Returns one hash of everything that a model computes from the batches. */
async function bitsOf(wasmEngine: WasmEngine, spec: Partial<ResnetOptions>, batches: ImageBatch[]): Promise<string> {
  const layout = resnetLayout(spec);
  const model = await wasmEngine.createModel(layout, 'imagenet');
  const results = await computeBatches(model, layout, batches);
  model.dispose();
  return hashOfBatches(results);
}

describe.each(
  opened[0].map(({ identity }, index) => ({
    name: identity.engine as WasmEngineName,
    withThreads: opened.map((each) => each[index]),
  })),
)('$name', ({ name, withThreads: [alone, ...threaded] }) => {
  test('has the same bits with any number of threads, for any number of images', async () => {
    const batches = [1, 13, 4].map((count) => randomBatch(count));
    for (const spec of [{ shortcut: 'projection' as const, convBias: true }, { initialFilters: 12 }]) {
      const bits = await bitsOf(alone, spec, batches);
      for (const each of threaded) expect(await bitsOf(each, spec, batches)).toBe(bits);
    }
  });

  test('has the number of threads in the device name but not in the fingerprint', () => {
    expect(alone.identity.device).toMatch(/^\S.*, 1 thread$/);
    expect(alone.identity.fingerprint).toMatch(new RegExp(`^${name}/\\d+-[0-9a-f]{16}$`));
    for (const { identity } of threaded) {
      expect(identity.device).toMatch(/^\S.*, \d+ threads$/);
      expect(identity.fingerprint).toBe(alone.identity.fingerprint);
    }
  });

  test('has the same bits for ResNet-20 on every machine', async () => {
    expect(await bitsOf(alone, resNet20, [randomBatch(resNet20Images)])).toBe(resNet20Sha256[name]);
  });
});

test('crops with every margin as cropPlanes does', async () => {
  const { labelBytes } = cifar10Format;
  const batch = { ...randomBatch(62), augmentations: new Uint16Array(62) };
  const records = batch.records.slice(0, 62 * recordBytes);
  for (let image = 0; image < 62; image++) {
    // Shifts from -15 to 15 in both directions
    const [down, right] = [(image % 31) - 15, ((7 * image) % 31) - 15];
    const augmentation = packAugmentation(4 + down, 4 + right, image % 2 === 0, image % 3 === 0 ? 'reflect' : 'zeros');
    batch.augmentations[image] = augmentation;
    const source = batch.records.subarray(batch.indices[image] * recordBytes);
    records.set(source.subarray(0, labelBytes), image * recordBytes);
    const [from, to] = [image * recordBytes + labelBytes, (image + 1) * recordBytes];
    cropPlanes(source.subarray(labelBytes, recordBytes), cifar10Format, augmentation, records.subarray(from, to));
  }
  const indices = Uint32Array.from({ length: 62 }, (_, image) => image);
  const cropped = { records, format: cifar10Format, indices, augmentations: identityAugmentations(62) };
  expect(await bitsOf(engine, {}, [batch])).toBe(await bitsOf(engine, {}, [cropped]));
});

test('a slice does not depend on larger or smaller slices before it', async () => {
  const layout = resnetLayout();
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
  const layout = resnetLayout();
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
  const layout = resnetLayout();
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
  const layout = resnetLayout({ initialFilters: 8 });
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
  const layout = resnetLayout();
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
      'dense',
      'other layers',
      'head',
      'input gradient',
      'filter gradient',
      'batch norm gradient',
      'other gradients',
    ]),
  );
  model.dispose();
});

test('a slice that is too large for the memory is rejected', async () => {
  const layout = resnetLayout({ depth: 110, initialFilters: 64 });
  const model = await engine.createModel(layout, 'imagenet');
  const batch = {
    records: new Uint8Array(recordBytes),
    format: cifar10Format,
    indices: new Uint32Array(4096),
    augmentations: new Uint16Array(4096).fill(packAugmentation(4, 4, false)),
  };
  await expect(model.computeSlice(batch)).rejects.toMatchObject({ code: 'bad-config' });
  model.dispose();
});

test('a disposed model rejects further slices', async () => {
  const model = await engine.createModel(resnetLayout(), 'imagenet');
  model.dispose();
  await expect(model.computeSlice(randomBatch(1))).rejects.toMatchObject({ code: 'engine-failed' });
});
