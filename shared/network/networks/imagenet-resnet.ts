// The ResNets for ImageNet by He et al. 2016, table 1, in the form that torchvision and NVIDIA call v1.5: a bottleneck's
// stride is in its 3×3 convolution.
import type { NetworkGraph } from '../graph.js';
import { GraphBuilder } from './graph-builder.js';
import { namedNetwork, stemOption, type Stem } from './named-network.js';

interface Form {
  name: string;
  blocksPerGroup: readonly number[];
  isBottleneck: boolean;
}

export const resnet18 = imagenetResnet('18 layers in four groups of residual blocks (He et al. 2016)', {
  name: 'resnet18',
  blocksPerGroup: [2, 2, 2, 2],
  isBottleneck: false,
});

export const resnet50 = imagenetResnet('50 layers in four groups of bottleneck blocks (He et al. 2016)', {
  name: 'resnet50',
  blocksPerGroup: [3, 4, 6, 3],
  isBottleneck: true,
});

function imagenetResnet(help: string, form: Form) {
  return namedNetwork({ help, options: { stem: stemOption }, build: ({ stem }) => graphOf(form, stem) });
}

function graphOf({ name, blocksPerGroup, isBottleneck }: Form, stem: Stem): NetworkGraph {
  const graph = new GraphBuilder({ bias: false, epsilon: 1e-5 });
  const firstConv = stem === 'small' ? {} : { kernelSize: 7, strides: 2 };
  let x = graph.relu('stem/relu', graph.batchNorm('stem/bn', graph.conv2d('stem/conv', 'input', 64, firstConv)));
  if (stem === 'imagenet') x = graph.pool('stem/pool', 'maxPool', x, { size: 3, strides: 2, padding: 'same' });
  for (const [group, count] of blocksPerGroup.entries()) {
    for (let index = 0; index < count; index++) {
      x = residualBlock(graph, x, `group${group + 1}/block${index + 1}`, {
        filters: 64 << group,
        strides: group > 0 && index === 0 ? 2 : 1,
        isBottleneck,
        // The first block of a group changes the number of channels, except in the first group without bottlenecks.
        isProjected: index === 0 && (group > 0 || isBottleneck),
      });
    }
  }
  graph.dense('dense', graph.globalAveragePool('pool', x));
  return { name, channelOrder: 'rgb', nodes: graph.nodes };
}

interface Block {
  filters: number;
  strides: number;
  isBottleneck: boolean;
  isProjected: boolean;
}

function residualBlock(graph: GraphBuilder, input: string, name: string, block: Block): string {
  const { filters, strides, isBottleneck, isProjected } = block;
  const outputs = isBottleneck ? 4 * filters : filters;
  const layers = isBottleneck
    ? [
        { filters, kernelSize: 1 },
        { filters, strides },
        { filters: outputs, kernelSize: 1 },
      ]
    : [{ filters, strides }, { filters }];
  let x = input;
  for (const [index, { filters: width, ...options }] of layers.entries()) {
    const number = index + 1;
    x = graph.batchNorm(`${name}/bn${number}`, graph.conv2d(`${name}/conv${number}`, x, width, options));
    if (number < layers.length) x = graph.relu(`${name}/relu${number}`, x);
  }
  let passed = input;
  if (isProjected) {
    passed = graph.conv2d(`${name}/projection`, input, outputs, { kernelSize: 1, strides });
    passed = graph.batchNorm(`${name}/projection_bn`, passed);
  }
  return graph.relu(`${name}/relu${layers.length}`, graph.add(`${name}/add`, x, passed));
}
