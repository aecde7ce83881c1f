import { expect, it } from 'vitest';
import { synthesizeImages } from '../../../cli/train/start.js';
import { loadCifar10 } from '../../../shared/dataset/cifar10.js';
import { folderPerFile } from '../../support/folder-per-file.js';

const inFolder = folderPerFile();

it('lockstep start writes synthetic images to the run directory, where evaluate and --resume find them', async () => {
  const folder = await synthesizeImages(inFolder('run'));
  expect(folder).toBe(inFolder('run', 'images'));
  const { training, test } = await loadCifar10(folder);
  expect([training.length, test.length]).toEqual([10_000 * 3073, 2_000 * 3073]);
  // The command can be repeated if the run was interrupted before its first checkpoint.
  expect(await synthesizeImages(inFolder('run'))).toBe(folder);
});
