// Which gradients a backward pass computes.
import type { Layer } from './layers.js';

/** Returns, for each layer, whether the gradient with respect to its output is needed. */
export function neededGradients(layers: readonly Layer[]): boolean[] {
  const needed: boolean[] = [];
  for (const layer of layers) {
    needed.push(arraysOf(layer).some((array) => array?.trainable) || layer.inputs.some((input) => needed[input]));
  }
  return needed;
}

function arraysOf(layer: Layer) {
  switch (layer.op) {
    case 'conv2d':
    case 'dense':
      return [layer.kernel, layer.bias];
    case 'batchNorm':
      return [layer.gamma, layer.beta];
    default:
      return [];
  }
}
