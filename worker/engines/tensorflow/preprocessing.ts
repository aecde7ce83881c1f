// Preprocessing on the device: bytes go there, a quarter of what float32 images would take. The same bits as fillInput's.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import type { Preprocessing } from '../../../shared/dataset/image-batch.js';
import { inputTransformOf } from '../../../shared/dataset/input-transform.js';
import { imageChannels } from '../../../shared/network/layout.js';
import { runOperation, type TensorFlowRuntime } from './runtime.js';

/**
 * The network's input from bytes, channels blue, green, red.
 * @param images uint8, [images, row, column, channel], channels red, green, blue
 */
export function preprocess({ tf, backend }: TensorFlowRuntime, images: Tensor, preprocessing: Preprocessing): Tensor4D {
  const attributes = { SrcT: { type: 'uint8' }, DstT: { type: 'float32' }, Truncate: { bool: false } } as const;
  const [raw] = runOperation(backend, 'Cast', attributes, [images], 1) as [Tensor4D];
  const { subtract, divide } = inputTransformOf(preprocessing);
  const [, height, width] = raw.shape;
  const means =
    subtract.length === imageChannels
      ? tf.tensor1d(subtract.toReversed())
      : tf.reverse(tf.tensor3d(subtract, [height, width, imageChannels]), 2);
  const divisor = divide.every((value) => value === divide[0])
    ? tf.scalar(divide[0])
    : tf.tensor1d(divide.toReversed());
  const centred = tf.sub(tf.reverse(raw, 3), means);
  // Not RealDiv: in a graph TensorFlow would multiply by the reciprocal instead, which gives other bits.
  return runOperation(backend, 'DivNoNan', { T: { type: 'float32' } }, [centred, divisor], 1)[0] as Tensor4D;
}
