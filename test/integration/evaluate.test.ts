// Evaluating a checkpoint gives the result that its run had at the same step, whichever workers compute it.
import { mkdir, readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { startEvaluation, type EvaluationOptions, type EvaluationReport } from '../../coordinator/evaluation-run.js';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import type { Report } from '../../coordinator/run/report.js';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { countPerClass } from '../../shared/dataset/cifar10-layout.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { openWasmEngine } from '../../worker/engines/wasm/wasm-engine.js';
import { startWorker } from '../../worker/main.js';
import { Authority } from '../support/certificates.js';
import { runCli, startCli } from '../support/cli.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { startCluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();
/**
 * Dataset that splits into 540 training, 60 validation and 600 test images. The test shards hold 250, 250 and 100
 * images.
 */
const dataset = synthesizeDataset({ trainingImages: 600, testImages: 600 });

async function trained(name: string, options: CoordinatorOptions = {}, engine = fakeEngine()): Promise<Report> {
  const cluster = await startCluster({ dataset, runDir: inFolder(name), steps: 20, ...options });
  try {
    await cluster.join({ engine });
    return await cluster.coordinator.report;
  } finally {
    await cluster.close();
  }
}

/** Evaluates with the given number of workers in this process. */
async function evaluated(options: EvaluationOptions, { workers = 1, token = '' } = {}): Promise<EvaluationReport> {
  const evaluation = await startEvaluation({ dataset, port: 0, ...options });
  const joined = Array.from({ length: workers }, () =>
    startWorker({ url: evaluation.url, token, engine: fakeEngine(), cache: null, connectionThread: false }),
  );
  const report = await evaluation.report;
  for (const worker of await Promise.all(joined))
    expect((await worker.done).reason).toMatch('the evaluation has ended');
  return report;
}

const metricsOf = ({ loss, accuracy }: { loss: number; accuracy: number }) => ({ loss, accuracy });

describe('an evaluation', () => {
  let run: Report;
  beforeAll(async () => {
    run = await trained('run', { augmentValidation: true });
  });

  it('finds the results by class that the run wrote to test.json', async () => {
    const written = JSON.parse(await readFile(inFolder('run', 'test.json'), 'utf8')) as object;
    expect(await evaluated({ checkpoint: inFolder('run') })).toMatchObject(written);
    expect(written).toMatchObject({ images: 600, ...metricsOf(run.test!) });
  });

  it.each([1, 2, 3, 5])('with %i workers gives exactly the test result of the run', async (workers) => {
    const report = await evaluated({ checkpoint: inFolder('run') }, { workers });
    expect(metricsOf(report)).toEqual(metricsOf(run.test!));
    expect(report).toMatchObject({ step: 20, split: 'test', images: 600, isRunsOwnSplit: true });
    expect(report.weightsSha256).toBe(run.weightsSha256);
  });

  it('gives the validation result of the run, with the same flips and crops', async () => {
    const report = await evaluated({ checkpoint: inFolder('run'), split: 'validation' }, { workers: 2 });
    expect(metricsOf(report)).toEqual(metricsOf(run.validation!));
    expect(report.images).toBe(60);
  });

  it('counts every image once, by label and predicted class', async () => {
    const { confusion, classes, unclassified } = await evaluated({ checkpoint: inFolder('run') });
    expect(classes.map(({ images }) => images)).toEqual([...countPerClass(dataset.test)]);
    expect(confusion?.map((row) => row.reduce((sum, count) => sum + count, 0))).toEqual([
      ...countPerClass(dataset.test),
    ]);
    // The fake engine predicts the first pixel value modulo 10.
    const expected = classes.map(() => classes.map(() => 0));
    for (let record = 0; record < dataset.test.length; record += 3073) {
      expected[dataset.test[record]][dataset.test[record + 1] % 10]++;
    }
    expect(confusion).toEqual(expected);
    expect(classes.map(({ correct }) => correct)).toEqual(expected.map((row, label) => row[label]));
    expect(unclassified).toBe(0);
  });

  it.each(['per-pixel-mean', 'standardize'] as const)(
    'of a run with %s uses the statistics measured by the run',
    async (preprocessing) => {
      const { test } = await trained(preprocessing, { preprocessing });
      expect(metricsOf(await evaluated({ checkpoint: inFolder(preprocessing) }))).toEqual(metricsOf(test!));
    },
  );

  it('uses the test-time augmentation of the run, unless it is given another', async () => {
    const { test } = await trained('flip', { testTimeAugmentation: 'flip', augmentValidation: false });
    const [own, plain, shifted] = [
      await evaluated({ checkpoint: inFolder('flip') }, { workers: 2 }),
      await evaluated({ checkpoint: inFolder('flip'), testTimeAugmentation: 'none' }),
      await evaluated({ checkpoint: inFolder('flip'), testTimeAugmentation: 'flip-and-shift' }),
    ];
    expect(metricsOf(own)).toEqual(metricsOf(test!));
    expect(plain.loss).not.toBe(own.loss);
    expect(shifted.images).toBe(600);
  });

  it('is not augmented at random and averaged over views at the same time', async () => {
    // The run augments its validation images.
    const options = { checkpoint: inFolder('run'), testTimeAugmentation: 'flip' } as const;
    await expect(evaluated({ ...options, split: 'validation' })).rejects.toMatchObject({
      code: 'bad-config',
      message: '`testTimeAugmentation` is "flip": it must be none with `augmentValidation`',
    });
    await evaluated({ ...options, split: 'validation', augmentValidation: false });
    await evaluated({ ...options, split: 'test' });
  });

  it('of an earlier step uses its checkpoint', async () => {
    // With 540 images and batches of 32, an epoch has 16 steps, so the first validation follows step 16.
    const report = await evaluated({
      checkpoint: inFolder('run', 'checkpoints', 'step-00000016'),
      split: 'validation',
    });
    expect(report.step).toBe(16);
    expect(report.loss).not.toBe(run.validation!.loss);
  });

  it('admits only workers with the token', async () => {
    const evaluation = await startEvaluation({ checkpoint: inFolder('run'), dataset, port: 0, token: 'secret' });
    const join = (token: string) =>
      startWorker({ url: evaluation.url, token, engine: fakeEngine(), cache: null, connectionThread: false });
    await expect((await join('guess')).done).rejects.toMatchObject({ code: 'refused' });
    await join('secret');
    expect(metricsOf(await evaluation.report)).toEqual(metricsOf(run.test!));
    await expect(startEvaluation({ checkpoint: inFolder('run'), dataset, host: '0.0.0.0' })).rejects.toThrow(
      '`host` is 0.0.0.0, which other machines can reach: set a token',
    );
  });

  it('continues when a worker fails', async () => {
    const evaluation = await startEvaluation({ checkpoint: inFolder('run'), dataset, port: 0 });
    const failing = fakeEngine();
    const createModel: typeof failing.createModel = async (...model) => {
      const computing = await fakeEngine().createModel(...model);
      computing.evaluate = () => Promise.reject(new Error('out of memory'));
      return computing;
    };
    const join = (engine: typeof failing) =>
      startWorker({ url: evaluation.url, engine, cache: null, connectionThread: false });
    const worker = await join({ ...failing, createModel });
    await expect(worker.done).rejects.toThrow('out of memory');
    await join(fakeEngine());
    expect(metricsOf(await evaluation.report)).toEqual(metricsOf(run.test!));
  });

  it('ends after waitTimeoutMs without workers, and when it is stopped', async () => {
    const waiting = await startEvaluation({ checkpoint: inFolder('run'), dataset, port: 0, waitTimeoutMs: 1 });
    await expect(waiting.report).rejects.toMatchObject({ code: 'no-workers' });
    const stopped = await startEvaluation({ checkpoint: inFolder('run'), dataset, port: 0 });
    stopped.stop();
    await expect(stopped.report).rejects.toMatchObject({ code: 'interrupted' });
  });

  it('reports whether the images are those of the run', async () => {
    const other = synthesizeDataset({ trainingImages: 600, testImages: 600, seed: 7 });
    const report = await evaluated({ checkpoint: inFolder('run'), dataset: other });
    expect(report.isRunsOwnSplit).toBe(false);
    expect(report.dataset).toMatch(/seed 7/);
  });
});

describe('lockstep evaluate', () => {
  let test: Report['test'];
  beforeAll(async () => {
    await writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 200, testImages: 300 }));
    const engine = await openWasmEngine({ threads: 1 });
    const options = { preprocessing: 'standardize', validationSplit: 0, steps: 3 } as const;
    const images = { dataset: undefined, data: inFolder('images') };
    ({ test } = await trained('real', { ...options, ...images }, engine));
    await engine.close();
  });

  it('repeats the test of a run, with its preprocessing and images', async () => {
    const json = await runCli(['evaluate', inFolder('real'), '--engine', 'wasm', '--workers', '1', '--json']);
    const report = JSON.parse(json.output) as EvaluationReport;
    expect(metricsOf(report)).toEqual(metricsOf(test!));
    expect(report.classes.reduce((sum, { correct }) => sum + correct, 0) / 300).toBe(test!.accuracy);
    const text = await runCli(['evaluate', inFolder('real'), '--engine', 'wasm', '--workers', '2']);
    expect(text.output).toContain(
      `\nTest loss: ${test!.loss.toFixed(4)} / Test accuracy: ${test!.accuracy.toFixed(4)}\n`,
    );
    expect(text.output).toMatch(/^0 striped disc +30 +\d+ +[\d.]+%$/m);
  });

  it('waits for workers on a port, over TLS', async () => {
    const folder = inFolder('certificates');
    await mkdir(folder);
    const authority = await Authority.make(folder, 'authority');
    const { cert, key } = await authority.sign({ name: 'server' });
    const secret = { LOCKSTEP_TOKEN: 'secret' };
    const tls = ['--tls-cert', cert, '--tls-key', key];
    const evaluation = startCli(['evaluate', inFolder('real'), '--port', '0', ...tls], secret);
    const [, url] = await evaluation.says(/lockstep worker (wss:\S+) --tls-ca <FILE>\n/);
    const trusting = ['--engine', 'wasm', '--no-cache', '--tls-ca', authority.file];
    const worker = startCli(['worker', url, ...trusting], secret);
    expect({ status: await evaluation.exited, output: evaluation.output() }).toMatchObject({ status: 0 });
    expect(await worker.exited).toBe(0);
    expect(evaluation.output()).toContain(`Test accuracy: ${test!.accuracy.toFixed(4)}`);
  });

  it('reports missing files and conflicting options, and warns about images other than those of the run', async () => {
    const run = inFolder('real');
    await writeCifar10(inFolder('others'), synthesizeDataset({ trainingImages: 100, testImages: 50, seed: 3 }));
    const [nowhere, noImages, noSplit, both, noPort, others] = await Promise.all([
      runCli(['evaluate', inFolder('nowhere')]),
      runCli(['evaluate', run, '--data', inFolder('empty')]),
      runCli(['evaluate', run, '--split', 'validation']),
      runCli(['evaluate', run, '--port', '0', '--workers', '2']),
      runCli(['evaluate', run, '--tls-client-ca', 'authority.pem']),
      runCli(['evaluate', run, '--data', inFolder('others'), '--engine', 'wasm', '--workers', '1']),
    ]);
    expect(nowhere.output).toMatch(/nowhere/);
    expect(nowhere.status).toBe(2);
    expect(noImages.output).toContain(inFolder('empty'));
    expect(noImages.status).toBe(2);
    expect(noSplit.output).toMatch(/there are no validation images .*--validation-split 0.*choose another --split/);
    expect(noSplit.status).toBe(2);
    expect(both.output).toMatch(/--workers is 2: with --host or --port the workers come from other machines/);
    expect(both.status).toBe(2);
    expect(noPort.output).toMatch(
      /--tls-client-ca is authority\.pem: it is for workers on other machines, which need --host or --port/,
    );
    expect(noPort.status).toBe(2);
    expect(others.output).toMatch(/warning: these are not the test images of the run/);
    expect(others.output).toMatch(/\n50 images/);
    expect(others.status).toBe(0);
  });
});
