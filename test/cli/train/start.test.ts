// What lockstep start leaves to go on with.
import { expect, it } from 'vitest';
import { drawImages } from '../../../cli/train/start.js';
import { loadCifar10 } from '../../../shared/dataset/cifar10.js';
import { folderPerFile } from '../../support/folder-per-file.js';

const inFolder = folderPerFile();

it('the images that it draws lie with the run, so that evaluate and --resume have the same ones', async () => {
  const folder = await drawImages(inFolder('run'));
  expect(folder).toBe(inFolder('run', 'images'));
  const { training, test } = await loadCifar10(folder);
  expect([training.length, test.length]).toEqual([10_000 * 3073, 2_000 * 3073]);
  // A start that was interrupted before its first checkpoint may be started again.
  expect(await drawImages(inFolder('run'))).toBe(folder);
});
