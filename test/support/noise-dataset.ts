// A small dataset of noise images of any shape. All bytes derive from the seed.
import type { Dataset } from '../../shared/dataset/description.js';
import { recordFormat } from '../../shared/dataset/record-format.js';
import type { DataShape } from '../../shared/network/layout.js';
import { KeyedRandom } from '../../shared/random.js';

/** Returns records whose labels are their indices, modulo the number of classes. */
function noiseRecords(shape: DataShape, count: number, seed: number): Uint8Array {
  const { recordBytes, labelBytes, classCount } = recordFormat(shape);
  const random = new KeyedRandom(seed, 'synthesis');
  return Uint8Array.from({ length: count * recordBytes }, (_, at) => {
    const byte = at % recordBytes;
    const label = Math.floor(at / recordBytes) % classCount;
    return byte < labelBytes ? label >> (8 * byte) : random.integerAt(at, 256);
  });
}

/** @param counts number of training and test images; 0 test images for a dataset without them */
export function noiseDataset(shape: DataShape, counts: { training: number; test: number }): Dataset {
  const { classCount, ...image } = shape;
  const classNames = Array.from({ length: classCount }, (_, label) => `class ${label}`);
  return {
    description: { name: 'noise', ...image, classNames, fit: 'crop' },
    training: noiseRecords(shape, counts.training, 1),
    validation: null,
    test: counts.test === 0 ? null : noiseRecords(shape, counts.test, 2),
    source: 'noise',
  };
}
