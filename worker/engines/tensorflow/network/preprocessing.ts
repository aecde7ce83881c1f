// Preprocessing on the device, so that images can be uploaded as bytes. Produces the same bits as fillInput.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import type { Preprocessing } from '../../../../shared/dataset/image-batch.js';
import { hasPixelMeans, inputTransformOf } from '../../../../shared/dataset/input-transform.js';
import type { ChannelOrder } from '../../../../shared/network/graph.js';
import { runOperation, type TensorFlowRuntime } from '../runtime.js';

/**
 * Returns the network's input, computed from bytes, with the channels in this order, or gray alone.
 * @param images uint8, [images, row, column, channel], channels red, green, blue, or gray
 */
export function preprocess(
  { tf, backend }: TensorFlowRuntime,
  images: Tensor,
  preprocessing: Preprocessing,
  channelOrder: ChannelOrder,
): Tensor4D {
  const attributes = { SrcT: { type: 'uint8' }, DstT: { type: 'float32' }, Truncate: { bool: false } } as const;
  const [raw] = runOperation(backend, 'Cast', attributes, [images], 1) as [Tensor4D];
  const [, height, width, channels] = raw.shape;
  const transform = inputTransformOf(preprocessing, channels === 1 ? 1 : 3, channelOrder);
  const { subtract, divide } = transform;
  const isReversed = channelOrder === 'bgr';
  const reversed = <Values extends Tensor>(values: Values) =>
    isReversed ? tf.reverse(values, values.rank - 1) : values;
  const perChannel = (values: Float32Array) => tf.tensor1d(isReversed ? values.toReversed() : values);
  const means = hasPixelMeans(transform)
    ? reversed(tf.tensor3d(subtract, [height, width, channels]))
    : perChannel(subtract);
  const divisor = divide.every((value) => value === divide[0]) ? tf.scalar(divide[0]) : perChannel(divide);
  const centered = tf.sub(reversed(raw), means);
  // DivNoNan instead of RealDiv: in a graph, TensorFlow replaces RealDiv with a multiplication by the reciprocal, which
  // changes bits.
  return runOperation(backend, 'DivNoNan', { T: { type: 'float32' } }, [centered, divisor], 1)[0] as Tensor4D;
}
