// Models that resemble trained ones, and test images, for the tests of exports.
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { TrainedModel } from '../../../inference/export/network.js';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { loadCifar10 } from '../../../shared/dataset/cifar10.js';
import { officialClassNames } from '../../../shared/dataset/cifar10-layout.js';
import { identityAugmentations, type ImageBatch, type Preprocessing } from '../../../shared/dataset/image-batch.js';
import { synthesizeRecords } from '../../../shared/dataset/synthesize.js';
import { weightsSha256 } from '../../../shared/network/layout-hash.js';
import { hasPixelMeans, inputTransformOf } from '../../../shared/dataset/input-transform.js';
import type { NetworkGraph } from '../../../shared/network/graph.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { cropBatch } from '../../../worker/augmentation.js';
import { randomWeights } from '../../support/random-batch.js';
import { referenceStep } from '../../support/reference-network.js';
import { sayWhySkipped } from '../../support/why-skipped.js';

const imageCount = 12;
const realImages = path.resolve('../shared/cifar10/subset');

/** Returns CIFAR-10 test images, or synthetic images if CIFAR-10 is missing. */
export async function testImages(): Promise<ImageBatch> {
  const isThere = existsSync(realImages);
  if (!isThere) sayWhySkipped('real images in tests of exports, which use synthetic ones', `no ${realImages}`);
  const records = isThere
    ? (await loadCifar10(realImages)).test
    : synthesizeRecords({ seed: 0, split: 'test', count: imageCount });
  const indices = Uint32Array.from(Array(imageCount).keys());
  return { records, format: cifar10Format, indices, augmentations: identityAugmentations(imageCount) };
}

/** Returns the input for an exported model: [image, row, column, channel], with red, green and blue from 0 to 255. */
export function pixelsOf(batch: ImageBatch): Float32Array {
  const bytes = new Uint8Array(batch.indices.length * batch.format.imageValues);
  cropBatch(batch, bytes);
  return Float32Array.from(bytes);
}

/** Returns the network's input: preprocessed images with the channels in the order of the network. */
function networkInput(batch: ImageBatch, preprocessing: Preprocessing, { channelOrder }: NetworkGraph): Float64Array {
  const { imageValues, channels } = batch.format;
  const { subtract, divide } = inputTransformOf(preprocessing, channels);
  const isPerPixel = hasPixelMeans({ subtract, divide });
  const pixels = pixelsOf(batch);
  return Float64Array.from(pixels, (_, index) => {
    const channel = index % channels;
    const raw = channels === 3 && channelOrder === 'bgr' ? 2 - channel : channel;
    const source = index - channel + raw;
    return (pixels[source] - subtract[isPerPixel ? source % imageValues : raw]) / divide[raw];
  });
}

/**
 * Returns a model with random weights, and its logits for the images, computed in float64. The moving statistics are
 * the batch statistics of the images, so that the logits are as large as those of a trained model.
 */
export function sampleModel(
  graph: NetworkGraph,
  images: ImageBatch,
  preprocessing: Preprocessing = 'imagenet',
): { model: TrainedModel; logits: Float64Array } {
  const layout = layoutNetwork(graph, images.format);
  const weights = randomWeights(layout, 4);
  const input = networkInput(images, preprocessing, graph);
  const labels = new Uint8Array(images.indices.length);
  const movingStatistics = Float32Array.from(referenceStep(layout, weights, input, labels).batchStatistics);
  const { logits } = referenceStep(layout, weights, input, labels, { movingStatistics });
  const model: TrainedModel = {
    layout,
    weights,
    movingStatistics,
    preprocessing,
    classNames: Array.from(
      { length: images.format.classCount },
      (_, label) => officialClassNames[label] ?? `class ${label}`,
    ),
    step: 351,
    weightsSha256: weightsSha256(weights, movingStatistics),
  };
  return { model, logits };
}

/** Returns the largest absolute difference: NaN if any difference is NaN, Infinity if the lengths differ. */
export function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  return Array.from(expected).reduce((max, value, i) => Math.max(max, Math.abs(actual[i] - value)), 0);
}
