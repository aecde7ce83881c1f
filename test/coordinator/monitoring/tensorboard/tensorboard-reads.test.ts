// Tests that TensorBoard from PyPI reads every documented tag of a run, with the run's values.
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { TensorBoardLog } from '../../../../coordinator/monitoring/tensorboard/tensorboard-log.js';
import { RunEventBus } from '../../../../coordinator/run/run-event-bus.js';
import type { RunEventOf } from '../../../../coordinator/run/run-events.js';
import { zeroPhases } from '../../../../coordinator/run/step-phases.js';
import { smallRun, startCluster } from '../../../support/local-cluster.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';
import { sayWhySkipped } from '../../../support/why-skipped.js';
import { resnetLayout } from '../../../support/resnet-layout.js';

const python = process.env['LOCKSTEP_TENSORBOARD_PYTHON'];
const script = fileURLToPath(new URL('../../../support/read_tensorboard.py', import.meta.url));
const noTensorBoard = 'LOCKSTEP_TENSORBOARD_PYTHON does not name a Python with TensorBoard';
if (python === undefined) sayWhySkipped('reading with TensorBoard', noTensorBoard);

const readShape = z.object({
  scalars: z.record(z.string(), z.array(z.tuple([z.number(), z.number()]))),
  histograms: z.record(
    z.string(),
    z.array(
      z.object({
        step: z.number(),
        min: z.number(),
        max: z.number(),
        num: z.number(),
        sum: z.number(),
        limits: z.array(z.number()),
        counts: z.array(z.number()),
      }),
    ),
  ),
  images: z.record(
    z.string(),
    z.array(
      z.object({
        step: z.number(),
        width: z.number(),
        height: z.number(),
        decoded: z.tuple([z.string(), z.number(), z.number()]),
        corner: z.array(z.number()),
      }),
    ),
  ),
});

async function readWithTensorBoard(folder: string): Promise<z.infer<typeof readShape>> {
  const { stdout } = await promisify(execFile)(python!, [script, folder], { maxBuffer: 64 * 2 ** 20 });
  return readShape.parse(JSON.parse(stdout));
}

describe('TensorBoard', () => {
  beforeEach((context) => {
    if (python === undefined) context.skip(noTensorBoard);
  });

  it('reads the curves, histograms and kernels of a run', async () => {
    const runDir = path.join(await temporaryFolder(), 'run');
    const cluster = await startCluster({ runDir });
    const steps: RunEventOf<'step'>[] = [];
    const epochs: RunEventOf<'epoch'>[] = [];
    const validations: RunEventOf<'validation'>[] = [];
    cluster.coordinator.events.on('step', (event) => steps.push(event));
    cluster.coordinator.events.on('epoch', (event) =>
      epochs.push({ ...event, weights: event.weights.slice(), gradient: event.gradient.slice() }),
    );
    cluster.coordinator.events.on('validation', (event) => validations.push(event));
    await cluster.join();
    const report = await cluster.coordinator.report;
    const folder = path.join(runDir, 'tensorboard');
    const [train, validation, test] = await Promise.all(
      ['train', 'validation', 'test'].map((curve) => readWithTensorBoard(path.join(folder, curve))),
    );
    await cluster.close();

    const rounded = (points: [number, number][]) => points.map(([step, value]) => [step, Math.fround(value)]);
    // The run has 14 steps, 11 per epoch: its epochs end at steps 11 and 14.
    expect(epochs.map(({ step }) => step)).toEqual([11, 14]);
    expect(train.scalars).toEqual({
      loss: rounded(steps.map(({ step, loss }) => [step, loss])),
      accuracy: rounded(steps.map(({ step, accuracy }) => [step, accuracy])),
      learning_rate: rounded(steps.map(({ step, learningRate }) => [step, learningRate])),
      images_per_second: rounded(steps.map(({ step, imagesPerSecond }) => [step, imagesPerSecond])),
      epoch_loss: rounded(epochs.map(({ step, loss }) => [step, loss])),
      epoch_accuracy: rounded(epochs.map(({ step, accuracy }) => [step, accuracy])),
    });
    // Ten classes at 51 pixels each.
    const matrix = { width: 510, height: 510, decoded: ['RGB', 510, 510] };
    expect(validation).toMatchObject({
      scalars: {
        epoch_loss: rounded(validations.map(({ step, loss }) => [step, loss])),
        epoch_accuracy: rounded(validations.map(({ step, accuracy }) => [step, accuracy])),
      },
      histograms: {},
      images: { confusion: validations.map(({ step }) => ({ step, ...matrix })) },
    });
    expect(test.images).toMatchObject({ confusion: [{ step: 14, ...matrix }] });
    expect(test.scalars).toEqual({
      epoch_loss: rounded([[14, report.test!.loss]]),
      epoch_accuracy: rounded([[14, report.test!.accuracy]]),
    });

    const layout = resnetLayout(cluster.coordinator.config);
    const names = layout.weights.flatMap(({ name }) => [`weights/${name}`, `gradients/${name}`]);
    expect(Object.keys(train.histograms).toSorted()).toEqual(names.toSorted());
    const kernel = layout.weights.find(({ name }) => name === 'group3/block1/conv1/kernel')!;
    for (const [kind, vector] of [
      ['weights', (event: RunEventOf<'epoch'>) => event.weights],
      ['gradients', (event: RunEventOf<'epoch'>) => event.gradient],
    ] as const) {
      train.histograms[`${kind}/${kernel.name}`].forEach((histogram, index) => {
        const values = vector(epochs[index]).subarray(kernel.offset, kernel.offset + kernel.size);
        expect(histogram.step).toBe(epochs[index].step);
        expect(histogram).toMatchObject({ num: kernel.size, min: Math.min(...values), max: Math.max(...values) });
        expect(histogram.counts.reduce((sum, count) => sum + count, 0)).toBe(kernel.size);
        expect(histogram.limits).toHaveLength(30);
      });
    }
    // Two rows of two 3 × 3 kernels with gaps of one weight, at eight pixels per weight: (2 × 4 + 1) × 8 = 72 pixels.
    const image = { width: 72, height: 72, decoded: ['RGB', 72, 72], corner: [240, 240, 240] };
    expect(train.images).toEqual({
      'kernels/stem/conv': [
        { step: 11, ...image },
        { step: 14, ...image },
      ],
    });
  });

  it('continues curves where a run was resumed, and drops later steps of the interrupted run', async () => {
    const folder = await temporaryFolder();
    const layout = resnetLayout(smallRun);
    async function runSteps(first: number, last: number, loss: number): Promise<void> {
      const events = new RunEventBus();
      events.on('tensorboard-failed', ({ reason }) => expect.unreachable(reason));
      const log = new TensorBoardLog(folder, { layout }, first - 1, events);
      const rest = { accuracy: 0.5, learningRate: 0.1, imagesPerSecond: 100, phases: zeroPhases(), contributions: [] };
      for (let step = first; step <= last; step++) events.publish({ type: 'step', step, epoch: 1, loss, ...rest });
      await log.close();
    }
    // The interrupted run made 10 steps, and its last checkpoint was at step 6.
    await runSteps(1, 10, 1);
    await runSteps(7, 8, 2);
    expect(await readdir(path.join(folder, 'train'))).toHaveLength(2);
    const { scalars } = await readWithTensorBoard(path.join(folder, 'train'));
    expect(scalars['loss']).toEqual([...[1, 2, 3, 4, 5, 6].map((step) => [step, 1]), [7, 2], [8, 2]]);
  });
});
