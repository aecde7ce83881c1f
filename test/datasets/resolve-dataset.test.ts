import { describe, expect, it } from 'vitest';
import { resolveDataset } from '../../datasets/read-dataset.js';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { folderPerFile } from '../support/folder-per-file.js';

const inFolder = folderPerFile();
const dataset = synthesizeDataset({ seed: 3, trainingImages: 12, testImages: 4 });

describe('the dataset of a run', () => {
  it('is the given folder', async () => {
    const folder = inFolder('given');
    await writeCifar10(folder, dataset);
    const resolved = await resolveDataset(folder, {}, inFolder('absent'));
    expect([resolved.training, resolved.test]).toEqual([dataset.training, dataset.test]);
    expect(resolved.source).toContain(folder);
  });

  it('is the default folder if it holds CIFAR-10', async () => {
    const folder = inFolder('default');
    await writeCifar10(folder, dataset);
    const resolved = await resolveDataset(undefined, {}, folder);
    expect([resolved.training, resolved.test]).toEqual([dataset.training, dataset.test]);
    expect(resolved.source).toContain(folder);
  });

  it('is synthetic otherwise, as its source says', async () => {
    const synthetic = { seed: 3, trainingImages: 12, testImages: 4 };
    const resolved = await resolveDataset(undefined, {}, inFolder('empty'), synthetic);
    expect([resolved.training, resolved.test]).toEqual([dataset.training, dataset.test]);
    expect(resolved.source).toBe('synthetic images (seed 3, 12 training, 4 test)');
  });
});
