// Runs on images of other shapes than those of CIFAR-10, from training to prediction.
import { beforeAll, describe, expect, it } from 'vitest';
import { writePackedDataset } from '../../datasets/packed/packed-dataset.js';
import { startEvaluation } from '../../coordinator/evaluation-run.js';
import { loadCheckpoint } from '../../coordinator/run/checkpoints/load-checkpoint.js';
import type { Report } from '../../coordinator/run/report.js';
import { encodeExport, exportFormats } from '../../inference/export/formats.js';
import { writeSafetensors } from '../../inference/export/weights-file.js';
import { predict } from '../../inference/predict.js';
import { loadTrainedModel } from '../../inference/trained-model.js';
import type { Dataset } from '../../shared/dataset/description.js';
import { openWasmEngine } from '../../worker/engines/wasm/wasm-engine.js';
import { startWorker } from '../../worker/main.js';
import { runCli } from '../support/cli.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { noiseImage, writeImages } from '../support/image-files.js';
import { hashWith, startCluster } from '../support/local-cluster.js';
import { noiseDataset } from '../support/noise-dataset.js';

const inFolder = folderPerFile();
const gray = noiseDataset({ height: 28, width: 28, channels: 1, classCount: 300 }, { training: 360, test: 320 });
const colors = noiseDataset({ height: 48, width: 48, channels: 3, classCount: 5 }, { training: 80, test: 0 });

async function trained(name: string, dataset: Dataset, workerCount: number, steps: number): Promise<Report> {
  const cluster = await startCluster({
    dataset,
    runDir: inFolder(name),
    minWorkers: workerCount,
    steps,
    batchSize: 24,
  });
  const engines = await Promise.all(Array.from({ length: workerCount }, () => openWasmEngine({ threads: 1 })));
  try {
    for (const engine of engines) await cluster.join({ engine });
    return await cluster.coordinator.report;
  } finally {
    await cluster.close();
    for (const engine of engines) await engine.close();
  }
}

it.each([
  ['28×28×1 with 300 classes', gray],
  ['48×48×3 with 5 classes', colors],
])('the weights after training on %s do not depend on the number of workers', async (_, dataset) => {
  const one = await hashWith(1, { dataset });
  expect(await hashWith(3, { dataset, preprocessing: 'imagenet' })).toBe(one);
  const measured = await hashWith(1, { dataset, preprocessing: 'per-pixel-mean' });
  expect(await hashWith(2, { dataset, preprocessing: 'per-pixel-mean' })).toBe(measured);
  expect(measured).not.toBe(one);
});

describe('a run with the wasm engine on gray images', () => {
  let run: Report;
  beforeAll(async () => {
    run = await trained('gray', gray, 2, 4);
  });

  it('has the same weights with one worker', async () => {
    expect((await trained('one', gray, 1, 4)).weightsSha256).toBe(run.weightsSha256);
    expect(run.test?.loss).toBeGreaterThan(0);
  });

  it('is evaluated with one result per class and the top-5 accuracy', async () => {
    const evaluation = await startEvaluation({ checkpoint: inFolder('gray'), dataset: gray, port: 0 });
    const engine = await openWasmEngine({ threads: 1 });
    await startWorker({ url: evaluation.url, engine, cache: null, connectionThread: false });
    const report = await evaluation.report;
    await engine.close();
    const { loss, accuracy, classes, confusion, topFiveAccuracy } = report;
    expect({ loss, accuracy, topFiveAccuracy }).toEqual(run.test);
    expect(classes).toHaveLength(300);
    // 320 test images: the first 20 classes have two.
    expect(classes.map(({ images }) => images)).toEqual(
      Array.from({ length: 300 }, (_, label) => (label < 20 ? 2 : 1)),
    );
    expect(confusion?.flat().reduce((sum, count) => sum + count, 0)).toBe(320);
    expect(topFiveAccuracy).toBeGreaterThanOrEqual(accuracy);
    expect(topFiveAccuracy).toBeLessThan(1);
  });

  it('is evaluated on the command line with the worst classes and the most frequent confusions', async () => {
    await writePackedDataset(inFolder('packed'), gray, null);
    const options = ['--data', inFolder('packed'), '--engine', 'wasm', '--workers', '1'];
    const { output } = await runCli(['evaluate', inFolder('gray'), ...options]);
    const lines = output.split('\n');
    const classes = lines.indexOf('The 20 classes with the lowest accuracy, of 300 (--json prints all):');
    const confusions = lines.indexOf('Most frequent confusions (--json prints the whole matrix):');
    expect(classes).toBeGreaterThan(0);
    // A heading, 20 classes and an empty line, in each of the two tables.
    expect(confusions).toBe(classes + 23);
    expect(lines[confusions + 22]).toBe('');
    expect(output).toMatch(/\nTest loss: [\d.]+ \/ Test accuracy: [\d.]+ \/ top-5 accuracy: [\d.]+\n/);
  });

  it('stores the description in its checkpoints, and does not resume or evaluate with other images', async () => {
    expect((await loadCheckpoint(inFolder('gray'))).dataset).toEqual(gray.description);
    const classNames = gray.description.classNames.with(7, 'seventh');
    const renamed = { ...gray, description: { ...gray.description, classNames } };
    for (const [dataset, difference] of [
      [colors, 'images of 48×48 pixels and 3 channels instead of 28×28 pixels and 1 channel'],
      [renamed, 'class 7 is seventh instead of class 7'],
    ] as const) {
      const refusal = { code: 'bad-data', message: expect.stringContaining(difference) as string };
      const resumed = { dataset, runDir: inFolder('gray'), resume: true, steps: 6, batchSize: 24, override: true };
      await expect(startCluster(resumed)).rejects.toMatchObject(refusal);
      await expect(startEvaluation({ checkpoint: inFolder('gray'), dataset, port: 0 })).rejects.toMatchObject(refusal);
    }
  });

  it('predicts color images of any size', async () => {
    await writeImages(inFolder(), { 'photo.webp': noiseImage(50, 20, 1) });
    const { predictions } = await predict({ checkpoint: inFolder('gray'), images: [inFolder('photo.webp')] });
    expect(predictions[0].classes).toHaveLength(300);
    expect(predictions[0].classes.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 5);
  });

  it.each(exportFormats)('is exported as %s', async (format) => {
    const { model } = await loadTrainedModel(inFolder('gray'));
    const exported = await encodeExport(model, format);
    const files = 'file' in exported ? [exported.file] : Object.values(exported.folder);
    expect(files.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(4 * model.weights.length);
  });

  it('has its input described in safetensors', async () => {
    const { model } = await loadTrainedModel(inFolder('gray'));
    expect(Buffer.from(writeSafetensors(model)).toString('latin1')).toContain('float32 [N, 28, 28, 1]');
  });
});

it('a run without test images has no test result', async () => {
  const report = await trained('colors', colors, 1, 2);
  expect(report.test).toBeNull();
  expect(report.validation).not.toBeNull();
});

it('a run with the wasm engine on images that are not square has the same weights with two workers', async () => {
  const wide = noiseDataset({ height: 16, width: 24, channels: 3, classCount: 2 }, { training: 40, test: 20 });
  const one = await trained('wide', wide, 1, 2);
  expect(one.test?.loss).toBeGreaterThan(0);
  expect((await trained('wide on two', wide, 2, 2)).weightsSha256).toBe(one.weightsSha256);
});
