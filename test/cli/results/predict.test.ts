// lockstep predict, run as a user would.
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { writeFile } from 'node:fs/promises';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { saveCheckpoint } from '../../../coordinator/run/checkpoints/checkpoint.js';
import { initialMovingStatistics, initialWeights } from '../../../coordinator/optimizer/initial-weights.js';
import { identityAugmentations } from '../../../shared/dataset/image-batch.js';
import { synthesizeRecords } from '../../../shared/dataset/synthesize.js';
import { cropBatch } from '../../../worker/augmentation.js';
import { evaluateViews } from '../../../worker/computation/evaluate-views.js';
import { openWasmEngine } from '../../../worker/engines/wasm/wasm-engine.js';
import { predict, softmax } from '../../../inference/predict.js';
import { readDataset } from '../../../datasets/read-dataset.js';
import { runCli } from '../../support/cli.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { noiseImage, writeImages } from '../../support/image-files.js';
import { perPixelMean, standardize } from '../../support/random-batch.js';
import { classNames, layout, progress, setup, setupWith } from '../../support/small-checkpoint.js';

const inFolder = folderPerFile();
const weights = initialWeights(layout, 3);
const movingStatistics = initialMovingStatistics(layout);
const state = { step: 4, weights, optimizerState: { velocity: weights }, movingStatistics };
/** Two test images. */
const batch = {
  records: synthesizeRecords({ seed: 0, split: 'test', count: 2 }),
  indices: Uint32Array.of(0, 1),
  augmentations: identityAugmentations(2),
  format: cifar10Format,
};

async function pngOf(image: number): Promise<Buffer> {
  const pixels = new Uint8Array(2 * 3072);
  cropBatch(batch, pixels);
  const raw = { width: 32, height: 32, channels: 3 } as const;
  return sharp(pixels.subarray(3072 * image, 3072 * (image + 1)), { raw })
    .png()
    .toBuffer();
}

describe('lockstep predict', () => {
  let run: string;
  let images: string[];
  beforeAll(async () => {
    run = inFolder('run');
    await saveCheckpoint(inFolder('run', 'checkpoints'), setup, state, progress);
    images = [inFolder('a.png'), inFolder('b.png')];
    for (const [index, file] of images.entries()) await writeFile(file, await pngOf(index));
  });

  it('gives the probabilities that the engine computes for the same image of the dataset', async () => {
    const engine = await openWasmEngine({ threads: 1 });
    const model = await engine.createModel(layout, 'imagenet');
    model.setWeights(weights, movingStatistics);
    const { logits } = await model.evaluate(batch);
    await engine.close();
    const { predictions, step } = await predict({ checkpoint: run, images });
    expect(step).toBe(4);
    for (const [index, { image, classes }] of predictions.entries()) {
      expect(image).toBe(images[index]);
      const probabilities = softmax(logits.subarray(10 * index, 10 * index + 10));
      const ofClass = new Map(classes.map(({ name, probability }) => [name, probability]));
      expect(classNames.map((name) => ofClass.get(name))).toEqual(probabilities);
      expect(classes.map(({ probability }) => probability)).toEqual(probabilities.toSorted((a, b) => b - a));
    }
  });

  it.each([perPixelMean(), standardize()])(
    'applies the $name preprocessing that its run measured',
    async (preprocessing) => {
      await saveCheckpoint(inFolder(preprocessing.name, 'checkpoints'), setupWith(preprocessing), state, progress);
      const engine = await openWasmEngine({ threads: 1 });
      const model = await engine.createModel(layout, preprocessing);
      model.setWeights(weights, movingStatistics);
      const { logits } = await model.evaluate(batch);
      await engine.close();
      const { predictions } = await predict({ checkpoint: inFolder(preprocessing.name), images });
      expect(predictions.map(({ classes }) => classes.map(({ probability }) => probability))).toEqual(
        predictions.map((_, index) => softmax(logits.subarray(10 * index, 10 * index + 10)).toSorted((a, b) => b - a)),
      );
    },
  );

  it('sees what an import of the same photo sees', async () => {
    await writeImages(inFolder('photos'), {
      'cat/1.jpg': noiseImage(90, 60, 1),
      'dog/2.webp': noiseImage(40, 80, 2),
    });
    const imported = await readDataset(inFolder('photos'), {
      imageSize: 32,
      cacheDirectory: inFolder('datasets'),
      processes: 1,
    });
    const photos = ['cat/1.jpg', 'dog/2.webp'].map((name) => inFolder('photos', name));
    const engine = await openWasmEngine({ threads: 1 });
    const model = await engine.createModel(layout, 'imagenet');
    model.setWeights(weights, movingStatistics);
    const { logits } = await model.evaluate({ ...batch, records: imported.training });
    await engine.close();
    const { predictions } = await predict({ checkpoint: run, images: photos });
    expect(predictions.map(({ width, height }) => [width, height])).toEqual([
      [90, 60],
      [40, 80],
    ]);
    expect(predictions.map(({ classes }) => classes.map(({ probability }) => probability))).toEqual(
      predictions.map((_, index) => softmax(logits.subarray(10 * index, 10 * index + 10)).toSorted((a, b) => b - a)),
    );
  });

  it('averages over views with test-time augmentation', async () => {
    const engine = await openWasmEngine({ threads: 1 });
    const model = await engine.createModel(layout, 'imagenet');
    model.setWeights(weights, movingStatistics);
    const { logits } = await evaluateViews(model, batch, 'flip');
    await engine.close();
    const { predictions } = await predict({ checkpoint: run, images, testTimeAugmentation: 'flip' });
    expect(predictions.map(({ classes }) => classes.map(({ probability }) => probability))).toEqual(
      predictions.map((_, index) => softmax(logits.subarray(10 * index, 10 * index + 10)).toSorted((a, b) => b - a)),
    );
    const asTrained = await predict({ checkpoint: run, images });
    expect(asTrained.predictions).not.toEqual(predictions);
    const options = ['--test-time-augmentation', 'flip', '--json'];
    const { output } = await runCli(['predict', run, ...images, ...options]);
    expect((JSON.parse(output) as { predictions: object }).predictions).toEqual(predictions);
  });

  it('prints the five most likely classes of each image, or all ten as JSON', async () => {
    const text = await runCli(['predict', run, ...images]);
    expect(text.output).toMatch(
      /^\S+a\.png \(32×32\)\n(?: {2,3} [ \d]\d\.\d% {2}\w+\n){5}\n\S+b\.png \(32×32\)\n(?: {2,3} [ \d]\d\.\d% {2}\w+\n){5}$/,
    );
    expect(text.status).toBe(0);
    expect((await runCli(['predict', run, images[0], '--top', '1'])).output).toMatch(
      /^\S+a\.png \(32×32\)\n {2,3} [ \d]\d\.\d% {2}\w+\n$/,
    );
    const json = JSON.parse((await runCli(['predict', run, images[0], '--json'])).output) as object;
    expect(json).toEqual({ ...(await predict({ checkpoint: run, images: [images[0]] })) });
  });

  it('reports what is wrong with a file, and what to do', async () => {
    await writeFile(inFolder('cat.gif'), 'GIF89a');
    await writeFile(inFolder('cat.txt'), 'a cat sat on a mat');
    const results = await Promise.all(
      ['cat.gif', 'cat.txt', 'nowhere.png', 'run'].map((name) => runCli(['predict', run, inFolder(name)])),
    );
    const remedy = 'specify a JPEG, PNG, WebP, GIF, TIFF or AVIF file\n';
    expect(results.map(({ output }) => output)).toEqual([
      expect.stringMatching(
        /^lockstep: \S+cat\.gif cannot be decoded \(.+\): specify a JPEG, PNG, WebP, GIF, TIFF or AVIF file\n$/,
      ),
      `lockstep: ${inFolder('cat.txt')} cannot be decoded (not an image in a supported format): ${remedy}`,
      `lockstep: ${inFolder('nowhere.png')} does not exist: ${remedy}`,
      `lockstep: ${inFolder('run')} is a folder: ${remedy}`,
    ]);
    expect(results.map(({ status }) => status)).toEqual([2, 2, 2, 2]);
  });
});
