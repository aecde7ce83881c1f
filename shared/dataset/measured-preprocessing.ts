// Converts measured preprocessing to and from the float32 arrays used in the protocol and in checkpoints.
import { LockstepError } from '../errors.js';
import type { DataShape } from '../network/layout.js';
import type { NamedArray } from '../network/named-array.js';
import type { MeasuredPreprocessing, Preprocessing, PreprocessingName } from './image-batch.js';

type ImageShape = Pick<DataShape, 'height' | 'width' | 'channels'>;

function shapesOf(
  name: MeasuredPreprocessing['name'],
  { height, width, channels }: ImageShape,
): { subtract: number[]; divide: number[] } {
  return { subtract: name === 'per-pixel-mean' ? [height, width, channels] : [channels], divide: [channels] };
}

/** Returns the measured arrays with their names; none for `imagenet`. */
export function measuredArraysOf(preprocessing: Preprocessing, data: ImageShape): NamedArray[] {
  if (preprocessing === 'imagenet') return [];
  const { subtract, divide } = shapesOf(preprocessing.name, data);
  return [
    { name: 'subtract', shape: subtract, values: preprocessing.subtract },
    { name: 'divide', shape: divide, values: preprocessing.divide },
  ];
}

/** Returns the total number of values in the arrays from measuredArraysOf. */
export function measuredSizeOf(name: PreprocessingName, data: ImageShape): number {
  if (name === 'imagenet') return 0;
  const { subtract, divide } = shapesOf(name, data);
  return [subtract, divide].reduce((sum, shape) => sum + shape.reduce((size, extent) => size * extent, 1), 0);
}

/**
 * Creates the preprocessing from its values.
 * @param values the arrays from measuredArraysOf, concatenated
 */
export function preprocessingFromValues(
  name: PreprocessingName,
  values: Float32Array,
  { channels }: ImageShape,
): Preprocessing {
  if (name === 'imagenet') return name;
  const divideAt = values.length - channels;
  return { name, subtract: values.slice(0, divideAt), divide: values.slice(divideAt) };
}

/**
 * Creates the preprocessing from a file's arrays.
 * @param source name of the file, for error messages
 * Throws `bad-checkpoint` if an array is missing or has the wrong shape.
 */
export function preprocessingFromArrays(
  name: MeasuredPreprocessing['name'],
  data: ImageShape,
  arrays: ReadonlyMap<string, NamedArray>,
  source: string,
): Preprocessing {
  const take = (array: 'subtract' | 'divide') => {
    const found = arrays.get(array);
    const shape = shapesOf(name, data)[array].join();
    if (found?.shape.join() === shape) return found.values;
    throw new LockstepError('bad-checkpoint', `${source} has no array ${array} of shape [${shape}]`);
  };
  return { name, subtract: take('subtract'), divide: take('divide') };
}
