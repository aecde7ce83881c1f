// Writes a safetensors file: the weights, with names and layout as in a checkpoint, and metadata for rebuilding the
// network.
import { inputTransformOf } from '../../shared/dataset/input-transform.js';
import { imageChannels, imageSize } from '../../shared/network/layout.js';
import { encodeSafetensors, namedArraysOf } from '../../shared/network/safetensors.js';
import { describeModel, type TrainedModel } from './network.js';

export function writeSafetensors(model: TrainedModel): Uint8Array {
  const { layout, weights, movingStatistics, preprocessing } = model;
  const { subtract, divide, channelOrder } = inputTransformOf(preprocessing);
  const meanImage = { name: 'preprocessing/subtract', shape: [imageSize, imageSize, imageChannels], values: subtract };
  const arrays = [
    ...namedArraysOf(weights, layout.trainable),
    ...namedArraysOf(movingStatistics, layout.statistics),
    ...(subtract.length === imageChannels ? [] : [meanImage]),
  ];
  const { initialFilters, convBias, bnEpsilon } = layout.spec;
  const metadata = {
    ...describeModel(model),
    format: 'lockstep',
    input:
      'float32 [N, 32, 32, 3]: (pixel - subtract) / divide per red, green, blue channel, then the channels in the order ' +
      channelOrder.map((raw) => ['red', 'green', 'blue'][raw]).join(', '),
    output: 'logits: float32 [N, 10], before the softmax',
    // Per-pixel values would not fit into the header, so the file contains them as an array.
    subtract: subtract.length === imageChannels ? subtract.join(',') : `the array ${meanImage.name}`,
    divide: divide.join(','),
    initialFilters: String(initialFilters),
    convBias: String(convBias),
    bnEpsilon: String(bnEpsilon),
  };
  return Buffer.concat(encodeSafetensors(arrays, metadata));
}
