// Preprocessing on the device must give the same bits as its reference, fillInput, for every byte value.
import { cifar10Format } from '../../../../../shared/dataset/cifar10-layout.js';
import { beforeEach, describe, expect, it } from 'vitest';
import { cropBatch, fillInput } from '../../../../../worker/augmentation.js';
import { loadTensorFlow } from '../../../../../worker/engines/tensorflow/load.js';
import { preprocess } from '../../../../../worker/engines/tensorflow/network/preprocessing.js';
import { bytesTensor } from '../../../../../worker/engines/tensorflow/runtime.js';
import { trace } from '../../../../../worker/engines/tensorflow/tracing/traced-function.js';
import { perPixelMean, randomBatch, standardize } from '../../../../support/random-batch.js';
import { openTensorFlowOrReason } from '../../../../support/tensorflow.js';

const { channels: imageChannels, height: imageSize, imageValues: valuesPerImage } = cifar10Format;

const opened = await openTensorFlowOrReason();

describe('preprocessing on the device', () => {
  beforeEach((context) => {
    if (typeof opened === 'string') context.skip(opened);
  });

  it.each([
    ['imagenet', 'imagenet' as const],
    ['per-pixel-mean', perPixelMean()],
    ['standardize', standardize()],
  ])(
    'with %s has the bits of fillInput for all bytes, flipped and cropped, in a graph and eagerly',
    (_, preprocessing) => {
      const runtime = loadTensorFlow(1);
      const { tf, backend } = runtime;
      const batch = randomBatch(4, 1);
      for (let plane = 0; plane < 3; plane++) {
        for (let byte = 0; byte < 256; byte++) batch.records[1 + plane * 1024 + byte] = byte;
      }
      const augmented = new Uint8Array(4 * valuesPerImage);
      cropBatch(batch, augmented);
      const expected = new Float32Array(4 * valuesPerImage);
      fillInput(batch, preprocessing, expected);
      const bitsOf = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

      const images = bytesTensor(backend, augmented, [4, imageSize, imageSize, imageChannels]);
      const eager = preprocess(runtime, images, preprocessing, 'bgr');
      expect(bitsOf(eager.dataSync<'float32'>()).equals(bitsOf(expected))).toBe(true);
      const traced = trace(runtime, (images) => ({ input: preprocess(runtime, images, preprocessing, 'bgr') }), [
        images,
      ]);
      const { input } = traced.call(images);
      expect(input.shape).toEqual([4, imageSize, imageSize, imageChannels]);
      expect(bitsOf(input.dataSync<'float32'>()).equals(bitsOf(expected))).toBe(true);
      tf.dispose([images, eager, input]);
      traced.dispose();
    },
  );

  it.each([
    ['imagenet', 'imagenet' as const],
    ['per-pixel-mean', perPixelMean()],
    ['standardize', standardize()],
  ])('with %s computes the same values with the channels in the order rgb', (_, preprocessing) => {
    const runtime = loadTensorFlow(1);
    const { tf, backend } = runtime;
    const augmented = new Uint8Array(4 * valuesPerImage);
    cropBatch(randomBatch(4, 1), augmented);
    const images = bytesTensor(backend, augmented, [4, imageSize, imageSize, imageChannels]);
    const bgr = preprocess(runtime, images, preprocessing, 'bgr');
    const rgb = preprocess(runtime, images, preprocessing, 'rgb');
    const reversed = tf.reverse(bgr, 3);
    expect(rgb.dataSync()).toEqual(reversed.dataSync());
    expect(rgb.dataSync()).not.toEqual(bgr.dataSync());
    tf.dispose([images, bgr, rgb, reversed]);
  });
});
