import { expect, it } from 'vitest';
import { nearestWord } from '../../../shared/config/nearest-word.js';

const words = ['batchSize', 'depth', 'steps', 'epochs', 'learningRate'];

it.each([
  ['batchsize', 'batchSize'],
  ['batch-size', 'batchSize'],
  ['learning_rate', 'learningRate'],
  ['depht', undefined], // two changes of five letters are too many to guess
  ['dept', 'depth'],
  ['step', 'steps'],
  ['epoch', 'epochs'],
  ['learningrates', 'learningRate'],
  ['colour', undefined],
])('%s may have meant %s', (given, meant) => {
  expect(nearestWord(given, words)).toBe(meant);
});
