// Writes a safetensors file: the weights, with names and layout as in a checkpoint, and metadata for rebuilding the
// network.
import { hasPixelMeans, inputTransformOf } from '../../shared/dataset/input-transform.js';
import type { ChannelOrder } from '../../shared/network/graph.js';
import { encodeSafetensors, namedArraysOf } from '../../shared/network/safetensors.js';
import { describeModel, inputShapeOf, type TrainedModel } from './network.js';

const colors: Record<ChannelOrder, string> = { rgb: 'red, green, blue', bgr: 'blue, green, red' };

export function writeSafetensors(model: TrainedModel): Uint8Array {
  const { layout, weights, movingStatistics, preprocessing } = model;
  const { height, width, channels, classCount } = layout.data;
  const { subtract, divide } = inputTransformOf(preprocessing, channels);
  const meanImage = { name: 'preprocessing/subtract', shape: [height, width, channels], values: subtract };
  const usesMeanImage = hasPixelMeans({ subtract, divide });
  const arrays = [
    ...namedArraysOf(weights, layout.weights),
    ...namedArraysOf(movingStatistics, layout.statistics),
    ...(usesMeanImage ? [meanImage] : []),
  ];
  const metadata = {
    ...describeModel(model),
    format: 'lockstep',
    input:
      `float32 [${inputShapeOf(layout).join(', ')}]: (pixel - subtract) / divide` +
      (channels === 1
        ? ''
        : ` per red, green, blue channel, then the channels in the order ${colors[layout.graph.channelOrder]}`),
    output: `logits: float32 [N, ${classCount}], before the softmax`,
    // Per-pixel values would not fit into the header, so the file contains them as an array.
    subtract: usesMeanImage ? `the array ${meanImage.name}` : subtract.join(','),
    divide: divide.join(','),
    network: JSON.stringify(layout.graph),
  };
  return Buffer.concat(encodeSafetensors(arrays, metadata));
}
