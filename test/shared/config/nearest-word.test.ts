import { expect, it } from 'vitest';
import { nearestWord } from '../../../shared/config/nearest-word.js';

const words = ['batchSize', 'depth', 'steps', 'epochs', 'learningRate'];

it.each([
  ['batchsize', 'batchSize'],
  ['batch-size', 'batchSize'],
  ['learning_rate', 'learningRate'],
  ['depht', undefined], // two changes in five letters are too many
  ['dept', 'depth'],
  ['step', 'steps'],
  ['epoch', 'epochs'],
  ['learningrates', 'learningRate'],
  ['colour', undefined],
])('the nearest word to %s is %s', (given, meant) => {
  expect(nearestWord(given, words)).toBe(meant);
});
