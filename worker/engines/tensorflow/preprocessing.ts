// Preprocessing on the device: bytes go there, a quarter of what float32 images would take. The same bits as fillInput's.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { imagenetMeans, type Preprocessing } from '../../../shared/data/image-batch.js';
import { runOperation, type TensorFlowRuntime } from './runtime.js';

/**
 * The network's input from bytes.
 * @param images uint8, [images, row, column, channel], channels red, green, blue
 */
export function preprocess({ tf, backend }: TensorFlowRuntime, images: Tensor, preprocessing: Preprocessing): Tensor4D {
  const attributes = { SrcT: { type: 'uint8' }, DstT: { type: 'float32' }, Truncate: { bool: false } } as const;
  const [raw] = runOperation(backend, 'Cast', attributes, [images], 1) as [Tensor4D];
  switch (preprocessing) {
    case 'imagenet': {
      const { red, green, blue } = imagenetMeans;
      const centred = tf.sub(tf.reverse(raw, 3), tf.tensor1d([blue, green, red]));
      // Not RealDiv: in a graph TensorFlow would multiply by 1/255 instead, which gives other bits.
      return runOperation(backend, 'DivNoNan', { T: { type: 'float32' } }, [centred, tf.scalar(255)], 1)[0] as Tensor4D;
    }
    default:
      return preprocessing satisfies never;
  }
}
