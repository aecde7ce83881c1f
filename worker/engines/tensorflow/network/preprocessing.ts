// Preprocessing on the device, so that images can be uploaded as bytes. Produces the same bits as fillInput.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import type { Preprocessing } from '../../../../shared/dataset/image-batch.js';
import { hasPixelMeans, inputTransformOf } from '../../../../shared/dataset/input-transform.js';
import { runOperation, type TensorFlowRuntime } from '../runtime.js';

/**
 * Returns the network's input, computed from bytes, with the channels in the order blue, green, red, or gray alone.
 * @param images uint8, [images, row, column, channel], channels red, green, blue, or gray
 */
export function preprocess({ tf, backend }: TensorFlowRuntime, images: Tensor, preprocessing: Preprocessing): Tensor4D {
  const attributes = { SrcT: { type: 'uint8' }, DstT: { type: 'float32' }, Truncate: { bool: false } } as const;
  const [raw] = runOperation(backend, 'Cast', attributes, [images], 1) as [Tensor4D];
  const [, height, width, channels] = raw.shape;
  const transform = inputTransformOf(preprocessing, channels === 1 ? 1 : 3);
  const { subtract, divide } = transform;
  const means = hasPixelMeans(transform)
    ? tf.reverse(tf.tensor3d(subtract, [height, width, channels]), 2)
    : tf.tensor1d(subtract.toReversed());
  const divisor = divide.every((value) => value === divide[0])
    ? tf.scalar(divide[0])
    : tf.tensor1d(divide.toReversed());
  const centered = tf.sub(tf.reverse(raw, 3), means);
  // DivNoNan instead of RealDiv: in a graph, TensorFlow replaces RealDiv with a multiplication by the reciprocal, which
  // changes bits.
  return runOperation(backend, 'DivNoNan', { T: { type: 'float32' } }, [centered, divisor], 1)[0] as Tensor4D;
}
