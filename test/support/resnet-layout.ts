// ResNets for tests.
import { cifar10Format } from '../../shared/dataset/cifar10-layout.js';
import { layoutNetwork, type DataShape, type ModelLayout } from '../../shared/network/layout.js';
import { resnet, type ResnetOptions } from '../../shared/network/networks/resnet.js';

/** Returns a ResNet for images of this shape, by default the smallest one for CIFAR-10. */
export function resnetLayout(options: Partial<ResnetOptions> = {}, data: DataShape = cifar10Format): ModelLayout {
  const smallest = { depth: 8, initialFilters: 4, shortcut: 'identity', convBias: false, bnEpsilon: 0.001 } as const;
  return layoutNetwork(resnet({ ...smallest, ...options }), data);
}
