// A run that starts with the weights of another run. They are part of its configuration, and resuming does not need
// their file.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import type { Report } from '../../coordinator/run/report.js';
import { exportModel } from '../../inference/export/formats.js';
import { loadTrainedModel } from '../../inference/trained-model.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { loadCheckpoint } from '../../coordinator/run/checkpoints/load-checkpoint.js';
import { arrayOf } from '../../shared/network/layout.js';
import { decodeSafetensors } from '../../shared/network/safetensors.js';
import { startCluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();

/** Trains to the end, or until step `until` is complete. */
async function trained(name: string, options: CoordinatorOptions = {}, until = Infinity): Promise<Report | undefined> {
  const cluster = await startCluster({ runDir: inFolder(name), steps: 6, ...options });
  const { coordinator } = cluster;
  try {
    coordinator.events.on('step', ({ step }) => {
      if (step === until) coordinator.stop();
    });
    await cluster.join();
    if (until === Infinity) return await coordinator.report;
    await expect(coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
    return undefined;
  } finally {
    await cluster.close();
  }
}

const file = () => inFolder('first.safetensors');
let first: Report;
let fromFile: Report;
beforeAll(async () => {
  first = (await trained('first'))!;
  const { model } = await loadTrainedModel(inFolder('first'));
  await exportModel(model, { to: 'safetensors', out: file(), force: false });
  fromFile = (await trained('from-file', { initialWeights: file() }))!;
});

describe('initialWeights', () => {
  it('starts at step 0 with the weights and moving statistics of the file and zero velocity', async () => {
    expect(fromFile.initialWeightsSha256).toBe(first.weightsSha256);
    expect(fromFile.steps).toBe(6);
    expect(fromFile.weightsSha256).not.toBe(first.weightsSha256);
    // The learning rate is too small to change any weight, and batch norm momentum 1 keeps the moving statistics. So
    // after one step, both still equal those in the file.
    const still = await trained('still', { initialWeights: file(), steps: 1, learningRate: 1e-30, bnMomentum: 1 });
    expect(still!.weightsSha256).toBe(first.weightsSha256);
    // The hash is recorded only for initial weights loaded from a file.
    expect(first.initialWeightsSha256).toBeNull();
  });

  it('accepts a checkpoint or run directory, with the same result', async () => {
    const ofRun = (await trained('from-run', { initialWeights: inFolder('first') }))!;
    expect(ofRun.weightsSha256).toBe(fromFile.weightsSha256);
  });

  it('is recorded in the configuration by its hash, which is checked', async () => {
    const config = JSON.parse(await readFile(inFolder('from-file', 'config.json'), 'utf8')) as CoordinatorOptions;
    expect(config).toMatchObject({ initialWeights: file(), initialWeightsSha256: first.weightsSha256 });
    const again = await trained('again', { ...config, runDir: inFolder('again') });
    expect(again!.weightsSha256).toBe(fromFile.weightsSha256);
    const others = { ...config, runDir: inFolder('others'), initialWeights: inFolder('from-file') };
    await expect(startCluster(others)).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringMatching(
        /the hash of `initialWeights` .* is .*, not .* as in `initialWeightsSha256`/,
      ) as string,
    });
  });

  it('is not needed to resume, and must then be the same', async () => {
    await trained('stopped', { initialWeights: file() }, 3);
    await rename(file(), `${file()}.gone`);
    try {
      const resumed = await trained('stopped', { resume: true });
      expect(resumed).toMatchObject({ weightsSha256: fromFile.weightsSha256, exact: true });
      expect(resumed!.initialWeightsSha256).toBe(first.weightsSha256);
    } finally {
      await rename(`${file()}.gone`, file());
    }
    const same = { resume: inFolder('stopped', 'checkpoints', 'step-00000003'), runDir: inFolder('branch') };
    const resumed = await trained('branch', { ...same, initialWeights: file() });
    expect(resumed!.weightsSha256).toBe(fromFile.weightsSha256);
    await expect(startCluster({ ...same, initialWeights: inFolder('from-file') })).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining(`\`initialWeightsSha256\` was "${first.weightsSha256}" and is`) as string,
    });
  });

  it('loads the arrays that have the same name and shape, and lists the others', async () => {
    // Projection shortcuts add two kernels and biases.
    const options = { shortcut: 'projection', learningRate: 1e-30, steps: 1 } as const;
    const cluster = await startCluster({ ...options, runDir: inFolder('partial'), initialWeights: file() });
    try {
      const { coordinator } = cluster;
      const events: unknown[] = [];
      coordinator.events.on('partial-weights', (event) => events.push(event));
      await cluster.join();
      await coordinator.report;
      const missing = ['group2', 'group3'].flatMap((group) =>
        ['kernel', 'bias'].map((name) => `${group}/block1/projection/${name}`),
      );
      expect(events).toEqual([expect.objectContaining({ path: file(), missing, unused: [] })]);
      const arrays = decodeSafetensors(await readFile(file()), file());
      const { weights, layout } = await loadCheckpoint(inFolder('partial'));
      for (const array of layout.weights) {
        const loaded = arrays.get(array.name)?.values;
        expect([array.name, loaded ?? arrayOf(weights, array)]).toEqual([array.name, arrayOf(weights, array)]);
      }
    } finally {
      await cluster.close();
    }
  });

  it('refuses a file with no array of the network', async () => {
    const refused = startCluster({
      depth: undefined,
      initialFilters: undefined,
      network: 'speedrun',
      initialWeights: inFolder('first'),
      runDir: inFolder('never'),
    });
    await expect(refused).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining(
        'has no array with a name and shape of the network speedrun: it begins with',
      ) as string,
    });
  });

  it('refuses to freeze an array that is not in the file', async () => {
    const options = { shortcut: 'projection', freeze: ['group1/*', 'group2/*'], runDir: inFolder('never') } as const;
    await expect(startCluster({ ...options, initialWeights: file() })).rejects.toMatchObject({
      code: 'bad-data',
      // The smallest network has 4 filters, so the projection of group 2 has 4 inputs and 8 outputs.
      message: expect.stringMatching(
        /has no group2\/block1\/projection\/kernel \[1, 1, 4, 8\], which is frozen and would keep its initial values/,
      ) as string,
    });
  });

  it('rejects files that do not exist, are not safetensors, or hold values that are not finite', async () => {
    const message = async (initialWeights: string) =>
      startCluster({ initialWeights, runDir: inFolder('never') }).then(
        () => 'nothing',
        (error: Error) => error.message,
      );
    await writeFile(inFolder('text'), 'these are no weights');
    expect(await message(inFolder('nowhere'))).toMatch(
      /nowhere does not exist: specify a safetensors file or a checkpoint/,
    );
    expect(await message(inFolder('text'))).toMatch(/text is not a readable safetensors file/);
    const bytes = await readFile(file());
    bytes.fill(0xff, bytes.length - 4);
    await writeFile(inFolder('nan'), bytes);
    expect(await message(inFolder('nan'))).toMatch(/has values that are not finite/);
  });
});
