// The network of airbench94 (Jordan 2024, arXiv 2404.00498), which learns CIFAR-10 in few epochs: a fixed whitening
// convolution, then three groups of two 3×3 convolutions that begin as the identity.
import { GraphBuilder } from './graph-builder.js';
import { namedNetwork } from './named-network.js';

const widths = [64, 256, 256];
/** Two filters, of opposite signs, for each of the 12 values in a patch of 2×2 pixels. */
const whiteningFilters = 24;

export const speedrun = namedNetwork({
  help: 'small network that learns CIFAR-10 in few epochs (airbench94, Jordan 2024)',
  options: {},
  build: () => {
    const graph = new GraphBuilder({ bias: false, epsilon: 1e-12 });
    const conv = (name: string, input: string, filters: number) =>
      graph.conv2d(name, input, filters, { weights: { kernel: { initializer: 'dirac' } } });
    const normalized = (name: string, input: string) =>
      graph.batchNorm(name, input, { scale: false, weights: { beta: { learningRateFactor: 64, weightDecay: true } } });
    const gelu = (name: string, input: string) => graph.activation('gelu', name, input);
    const whitening = graph.conv2d('whitening/conv', 'input', whiteningFilters, {
      kernelSize: 2,
      padding: 'valid',
      bias: true,
      weights: { kernel: { trainable: false, initializer: 'whitening' }, bias: { weightDecay: true } },
    });
    let x = gelu('whitening/gelu', whitening);
    for (const [index, width] of widths.entries()) {
      const name = `group${index + 1}`;
      const pooled = graph.pool(`${name}/pool`, 'maxPool', conv(`${name}/conv1`, x, width), { size: 2 });
      x = gelu(`${name}/gelu1`, normalized(`${name}/bn1`, pooled));
      x = gelu(`${name}/gelu2`, normalized(`${name}/bn2`, conv(`${name}/conv2`, x, width)));
    }
    const pooled = graph.pool('head/pool', 'maxPool', x, { size: 3 });
    const logits = graph.dense('dense', graph.flatten('head/flatten', pooled), 'classes', {
      bias: false,
      weights: { kernel: { initializer: 'fanInUniform' } },
    });
    graph.node({ name: 'scale', op: 'scale', inputs: [logits], factor: 1 / 9, offset: 0 });
    return { name: 'speedrun', channelOrder: 'rgb', nodes: graph.nodes };
  },
});
