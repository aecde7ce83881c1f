// The engine on a software driver: repeated and overlapping slices, images, memory, and a lost device.
import { afterAll, describe, expect, test } from 'vitest';
import { identityAugmentations, packAugmentation, type ImageBatch } from '../../../../shared/dataset/image-batch.js';
import { recordFormat } from '../../../../shared/dataset/record-format.js';
import { parseGraph } from '../../../../shared/network/graph-schema.js';
import { weightsSha256 } from '../../../../shared/network/layout-hash.js';
import { layoutNetwork } from '../../../../shared/network/layout.js';
import type { EngineModel } from '../../../../worker/engine.js';
import { openWebGpuEngine } from '../../../../worker/engines/webgpu/create-engine.js';
import { perPixelMean, randomBatch, randomMovingStatistics, randomWeights } from '../../../support/random-batch.js';
import { referenceOfBatch } from '../../../support/reference-batch.js';
import { openDeviceOrReason, openWebGpuOrReason, testIdentity } from '../../../support/webgpu.js';
import { sayWhySkipped } from '../../../support/why-skipped.js';
import { relativeError } from './compare.js';

const opened = await openWebGpuOrReason();
const engine = typeof opened === 'string' ? null : opened;
if (typeof opened === 'string') sayWhySkipped('the webgpu engine', opened);
afterAll(() => engine?.close());

const graph = parseGraph(
  {
    name: 'small',
    nodes: [
      { name: 'conv', op: 'conv2d', inputs: ['input'], filters: 8, kernelSize: 3, bias: false },
      { name: 'norm', op: 'batchNorm', inputs: ['conv'] },
      { name: 'relu', op: 'relu', inputs: ['norm'] },
      { name: 'mean', op: 'globalAveragePool', inputs: ['relu'] },
      { name: 'logits', op: 'dense', inputs: ['mean'], units: 'classes' },
    ],
  },
  'a small graph',
);
const layout = layoutNetwork(graph, { height: 12, width: 20, channels: 3, classCount: 4 });
const format = recordFormat(layout.data);
const weights = randomWeights(layout, 3);
const moving = randomMovingStatistics(layout, 4);

async function modelOf(preprocessing: Parameters<NonNullable<typeof engine>['createModel']>[1] = 'imagenet') {
  const model = await engine!.createModel(layout, preprocessing);
  model.setWeights(weights, moving);
  return model;
}

async function hashOf(model: EngineModel, batch: ImageBatch): Promise<string> {
  const { gradientSum, batchStatistics } = await model.computeSlice(batch);
  return weightsSha256(gradientSum, batchStatistics);
}

describe.skipIf(engine === null)('the webgpu engine', { timeout: 120_000 }, () => {
  test('computes the same bits again, in another order, overlapping and after growing', async () => {
    const batches = [3, 5, 4].map((count, seed) => randomBatch(count, seed, format));
    const model = await modelOf();
    const hashes = [];
    for (const batch of batches) hashes.push(await hashOf(model, batch));
    expect(new Set(hashes).size).toBe(3);
    // The next slices are submitted before the results of the first are read.
    const first = hashOf(model, batches[2]);
    model.enqueue(batches[1]);
    model.enqueue(batches[0]);
    expect(await first).toBe(hashes[2]);
    // The images of one batch are on the device when another one is computed.
    model.prepare(batches[2]);
    expect(await hashOf(model, batches[0])).toBe(hashes[0]);
    expect(await hashOf(model, batches[1])).toBe(hashes[1]);
    model.prepare(batches[2]);
    expect(await hashOf(model, batches[2])).toBe(hashes[2]);
    model.dispose();
  });

  test('forgets slices that it began with other weights', async () => {
    const [a, b] = [1, 2].map((seed) => randomBatch(2, seed, format));
    const model = await modelOf();
    const expected = await hashOf(model, a);
    model.setWeights(
      weights.map((weight) => 2 * weight),
      moving,
    );
    const other = hashOf(model, b);
    model.enqueue(a);
    await other;
    model.setWeights(weights, moving);
    expect(await hashOf(model, a)).toBe(expected);
    model.dispose();
  });

  test('crops, flips and preprocesses images as the reference does', async () => {
    const random = randomBatch(6, 1, format);
    const augmentations = Uint16Array.of(
      packAugmentation(0, 8, false),
      packAugmentation(8, 0, true),
      packAugmentation(-11, 19, false),
      packAugmentation(2, 7, true, 'reflect'),
      packAugmentation(8, 1, false, 'reflect'),
      identityAugmentations(1)[0],
    );
    const batch = { ...random, augmentations, indices: Uint32Array.of(3, 1, 5, 0, 3, 2) };
    for (const preprocessing of ['imagenet', perPixelMean(format)] as const) {
      const model = await modelOf(preprocessing);
      const { batchStatistics } = await model.computeSlice(batch);
      const expected = referenceOfBatch(layout, weights, batch, { preprocessing }).batchStatistics;
      for (const [i, value] of expected.entries()) expect(batchStatistics[i]).toBeCloseTo(value, 4);
      model.dispose();
    }
  });

  test('evaluates more images than it holds at once, with the moving statistics', async () => {
    const model = await modelOf();
    const batch = randomBatch(40, 1, format);
    const { logits, lossSum, correctCount } = await model.evaluate(batch);
    const expected = referenceOfBatch(layout, weights, batch, { movingStatistics: moving });
    expect(relativeError(logits, expected.logits)).toBeLessThan(1e-6);
    expect(relativeError([lossSum], [expected.lossSum])).toBeLessThan(1e-6);
    expect(correctCount).toBe(expected.correctCount);
    model.dispose();
  });

  test('refuses a slice that does not fit, and names the largest one that does', async () => {
    const model = await modelOf();
    const batch = randomBatch(1, 1, format);
    // 12 × 20 pixels × 8 channels × 4 bytes: 7,680 bytes per image; a device binds at least 128 MiB, which are 17,476.
    const count = 20_000;
    const large = { ...batch, indices: new Uint32Array(count), augmentations: identityAugmentations(count) };
    await expect(model.computeSlice(large)).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringMatching(/a slice of 20000 images needs \d+ MiB.*at most 17476 images/),
    });
    expect(await hashOf(model, batch)).toMatch(/^[0-9a-f]{64}$/);
    model.dispose();
  });

  test('measures each phase of each group of layers', async () => {
    const model = await modelOf();
    const cells = await model.profile(randomBatch(2, 1, format));
    expect(cells.map(({ phase, group }) => `${phase} ${group}`)).toEqual([
      'images input',
      'forward conv',
      'forward norm',
      'forward mean',
      'forward logits',
      'loss loss',
      'filter gradients logits',
      'other gradients logits',
      'input gradients logits',
      'other gradients norm',
      'filter gradients conv',
      'filter gradients sums',
    ]);
    expect(cells.every(({ bytes, dispatches }) => bytes > 0 && dispatches > 0)).toBe(true);
    model.dispose();
  });

  test('fails a slice whose device is lost, and later ones', async () => {
    const device = (await openDeviceOrReason()) as GPUDevice;
    const losing = await openWebGpuEngine(device, testIdentity);
    const model = await losing.createModel(layout, 'imagenet');
    model.setWeights(weights, moving);
    const batch = randomBatch(3, 1, format);
    await model.computeSlice(batch);
    const pending = Promise.allSettled([model.computeSlice(batch)]);
    device.destroy();
    expect(await pending).toMatchObject([{ status: 'rejected', reason: { code: 'engine-failed' } }]);
    await expect(model.computeSlice(batch)).rejects.toMatchObject({ code: 'engine-failed' });
    await losing.close();
  });
});
