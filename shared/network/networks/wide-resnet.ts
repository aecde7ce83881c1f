// Wide ResNets for small images (Zagoruyko & Komodakis 2016, arXiv 1605.07146): pre-activation blocks of two 3×3
// convolutions.
import * as z from 'zod';
import { GraphBuilder } from './graph-builder.js';
import { namedNetwork, wholeNumber } from './named-network.js';

export const wideResnet = namedNetwork({
  help: 'wide residual network for small images (Zagoruyko & Komodakis 2016)',
  options: {
    depth: {
      schema: wholeNumber(10, 1000).schema.pipe(z.number().refine((depth) => depth % 6 === 4)),
      allowed: '6n+4, from 10 to 1000: 10, 16, 22, 28, 40, …',
      default: 16,
      help: 'number of layers',
    },
    width: {
      ...wholeNumber(1, 32),
      default: 4,
      help: 'factor by which the groups are wider than 16, 32 and 64 channels',
    },
  },
  build: ({ depth, width }) => {
    const blocksPerGroup = (depth - 4) / 6;
    const graph = new GraphBuilder({ bias: false, epsilon: 1e-5 });
    let channels = 16;
    let x = graph.conv2d('stem/conv', 'input', channels);
    for (let group = 0; group < 3; group++) {
      const filters = (16 << group) * width;
      for (let index = 0; index < blocksPerGroup; index++) {
        const name = `group${group + 1}/block${index + 1}`;
        const strides = group > 0 && index === 0 ? 2 : 1;
        const active = graph.relu(`${name}/relu1`, graph.batchNorm(`${name}/bn1`, x));
        const convolved = graph.conv2d(`${name}/conv1`, active, filters, { strides });
        const inner = graph.relu(`${name}/relu2`, graph.batchNorm(`${name}/bn2`, convolved));
        const residual = graph.conv2d(`${name}/conv2`, inner, filters);
        // A block that changes the shape projects the activated input.
        const isSameShape = channels === filters && strides === 1;
        const passed = isSameShape
          ? x
          : graph.conv2d(`${name}/projection`, active, filters, { kernelSize: 1, strides });
        x = graph.add(`${name}/add`, residual, passed);
        channels = filters;
      }
    }
    x = graph.relu('head/relu', graph.batchNorm('head/bn', x));
    graph.dense('dense', graph.globalAveragePool('pool', x));
    return { name: `wide-resnet-${depth}-${width}`, channelOrder: 'rgb', nodes: graph.nodes };
  },
});
