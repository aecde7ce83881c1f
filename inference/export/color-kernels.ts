// Finds the kernels that determine the order of a network's color channels. Pure.
import type { Layer, WeightArray } from '../../shared/network/layers.js';

/**
 * Returns the convolution kernels that read the color channels, directly or through layers that treat all channels
 * alike. With the input channels of these kernels reversed, the network takes reversed images. Returns null if another
 * layer tells the channels apart, such as a depthwise convolution.
 */
export function colorKernels(layers: readonly Layer[]): WeightArray[] | null {
  const kernels: WeightArray[] = [];
  /** Indices of the layers whose channels are the colors. */
  const colored = new Set<number>();
  for (const layer of layers) {
    const isColored = layer.op === 'input' || layer.inputs.some((input) => colored.has(input));
    if (!isColored) continue;
    if (layer.op === 'conv2d' && layer.groups === 1) kernels.push(layer.kernel);
    else if (treatsChannelsAlike(layer)) colored.add(layer.index);
    else return null;
  }
  return kernels;
}

/** Returns whether reversing the channels of the layer's input has no effect but to reverse those of its output. */
function treatsChannelsAlike(layer: Layer): boolean {
  switch (layer.op) {
    case 'input':
    case 'relu':
    case 'relu6':
    case 'gelu':
    case 'silu':
    case 'sigmoid':
    case 'maxPool':
    case 'averagePool':
    case 'dropout':
      return true;
    case 'pad':
      return layer.channels.every((count) => count === 0);
    case 'scale':
      return layer.factor.length === 1 && layer.offset.length === 1;
    default:
      return false;
  }
}
