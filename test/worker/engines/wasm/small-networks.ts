// Small versions of well-known networks, for tests of the wasm engine. Together they have every operation, and the
// combinations of operations that the engine computes together.
import { parseGraph } from '../../../../shared/network/graph-schema.js';
import { inputName, type NetworkGraph, type Pair } from '../../../../shared/network/graph.js';
import type { DataShape } from '../../../../shared/network/layout.js';
import { GraphBuilder } from '../../../../shared/network/networks/graph-builder.js';
import { resnet, type ResnetOptions } from '../../../../shared/network/networks/resnet.js';
import { everyOperation } from '../../../support/sample-graphs.js';

interface NetworkForTest {
  graph: NetworkGraph;
  data: DataShape;
}

function network([height, width]: Pair, channels: 1 | 3, graph: unknown): NetworkForTest {
  return { graph: parseGraph(graph, 'a small network'), data: { height, width, channels, classCount: 6 } };
}

function build(add: (graph: GraphBuilder) => string, bias = false): unknown {
  const graph = new GraphBuilder({ bias, epsilon: 0.001 });
  const features = add(graph);
  graph.dense('dense', features, 'classes');
  return { name: 'small', nodes: graph.nodes };
}

const resnetOf = (options: Partial<ResnetOptions>) =>
  resnet({ depth: 8, initialFilters: 4, shortcut: 'identity', convBias: true, bnEpsilon: 0.001, ...options });

interface BlockShape {
  filters: number;
  strides?: number;
  isProjected?: boolean | undefined;
}

/** A block of ResNet-18, with a batch norm after the projection. */
function basicBlock(graph: GraphBuilder, name: string, x: string, { filters, strides = 1, isProjected }: BlockShape) {
  const convolved = graph.conv2d(`${name}/conv1`, x, filters, { strides });
  const inner = graph.relu(`${name}/relu1`, graph.batchNorm(`${name}/bn1`, convolved));
  const residual = graph.batchNorm(`${name}/bn2`, graph.conv2d(`${name}/conv2`, inner, filters));
  return graph.relu(
    `${name}/relu2`,
    graph.add(`${name}/add`, residual, projected(graph, name, x, { filters, strides, isProjected })),
  );
}

function projected(
  graph: GraphBuilder,
  name: string,
  x: string,
  { filters, strides = 1, isProjected = false }: BlockShape,
) {
  if (!isProjected) return x;
  return graph.batchNorm(`${name}/bn`, graph.conv2d(`${name}/projection`, x, filters, { kernelSize: 1, strides }));
}

/** A block of ResNet-50. */
function bottleneck(graph: GraphBuilder, name: string, x: string, { filters, strides = 1, isProjected }: BlockShape) {
  const layer = (number: number, input: string, convolution: Parameters<GraphBuilder['conv2d']>[3], width = filters) =>
    graph.batchNorm(`${name}/bn${number}`, graph.conv2d(`${name}/conv${number}`, input, width, convolution));
  const first = graph.relu(`${name}/relu1`, layer(1, x, { kernelSize: 1 }));
  const second = graph.relu(`${name}/relu2`, layer(2, first, { strides }));
  const residual = layer(3, second, { kernelSize: 1 }, 4 * filters);
  const passed = projected(graph, name, x, { filters: 4 * filters, strides, isProjected });
  return graph.relu(`${name}/relu3`, graph.add(`${name}/add`, residual, passed));
}

/** A block of a wide ResNet, with batch norms before the convolutions. */
function normalizedFirstBlock(
  graph: GraphBuilder,
  name: string,
  x: string,
  { filters, strides = 1, isProjected }: BlockShape,
) {
  const before = graph.relu(`${name}/relu1`, graph.batchNorm(`${name}/bn1`, x));
  const convolved = graph.conv2d(`${name}/conv1`, before, filters, { strides });
  const inner = graph.relu(`${name}/relu2`, graph.batchNorm(`${name}/bn2`, convolved));
  const passed = isProjected ? graph.conv2d(`${name}/projection`, before, filters, { kernelSize: 1, strides }) : x;
  return graph.add(`${name}/add`, graph.conv2d(`${name}/conv2`, inner, filters), passed);
}

/** The stem of ImageNet's ResNets: a large kernel, and overlapping pooling windows. */
function largeStem(graph: GraphBuilder): string {
  const convolved = graph.conv2d('stem/conv', inputName, 8, { kernelSize: 7, strides: 2 });
  const x = graph.relu('stem/relu', graph.batchNorm('stem/bn', convolved));
  return graph.pool('stem/pool', 'maxPool', x, { size: 3, strides: 2, padding: 'same' });
}

/** An inverted residual block of MobileNetV2: wide, with a depthwise convolution. */
function invertedBlock(
  graph: GraphBuilder,
  name: string,
  x: string,
  inputs: number,
  { filters, strides = 1 }: BlockShape,
) {
  const width = 6 * inputs;
  const wide = graph.batchNorm(`${name}/bn1`, graph.conv2d(`${name}/conv1`, x, width, { kernelSize: 1 }));
  const active = graph.activation('relu6', `${name}/relu1`, wide);
  const depthwise = graph.conv2d(`${name}/conv2`, active, width, { strides, groups: width });
  const inner = graph.activation('relu6', `${name}/relu2`, graph.batchNorm(`${name}/bn2`, depthwise));
  const narrow = graph.batchNorm(`${name}/bn3`, graph.conv2d(`${name}/conv3`, inner, filters, { kernelSize: 1 }));
  return strides === 1 && inputs === filters ? graph.add(`${name}/add`, narrow, x) : narrow;
}

/** The network of airbench (Jordan 2024), narrower: whitening, three groups with gelu, and scaled logits. */
function airbench(): unknown {
  const graph = new GraphBuilder({ bias: false, epsilon: 0.001 });
  const weights = { kernel: { trainable: false } };
  const whitened = graph.conv2d('whiten', inputName, 24, { kernelSize: 2, padding: 'valid', bias: true, weights });
  let x = graph.activation('gelu', 'whiten/gelu', whitened);
  for (const [index, filters] of [8, 16, 16].entries()) {
    const name = `group${index + 1}`;
    const pooled = graph.pool(`${name}/pool`, 'maxPool', graph.conv2d(`${name}/conv1`, x, filters), { size: 2 });
    const inner = graph.activation('gelu', `${name}/gelu1`, graph.batchNorm(`${name}/bn1`, pooled, { scale: false }));
    const convolved = graph.conv2d(`${name}/conv2`, inner, filters);
    x = graph.activation('gelu', `${name}/gelu2`, graph.batchNorm(`${name}/bn2`, convolved, { scale: false }));
  }
  x = graph.pool('pool', 'maxPool', x, { size: 3 });
  x = graph.node({ name: 'flat', op: 'flatten', inputs: [x] });
  const logits = graph.dense('dense', x, 'classes', { bias: false });
  graph.node({ name: 'scaled', op: 'scale', inputs: [logits], factor: 1 / 9, offset: 0 });
  return { name: 'airbench', nodes: graph.nodes };
}

export const smallNetworks = {
  'resnet with identity shortcuts': network([16, 16], 3, resnetOf({})),
  'resnet with projections': network([16, 16], 3, resnetOf({ shortcut: 'projection', initialFilters: 12 })),
  resnet18: network(
    [32, 32],
    3,
    build((graph) => {
      const x = basicBlock(graph, 'block1', largeStem(graph), { filters: 8 });
      return graph.globalAveragePool(
        'pool',
        basicBlock(graph, 'block2', x, { filters: 16, strides: 2, isProjected: true }),
      );
    }),
  ),
  resnet50: network(
    [32, 32],
    3,
    build((graph) => {
      let x = bottleneck(graph, 'block1', largeStem(graph), { filters: 4, isProjected: true });
      x = bottleneck(graph, 'block2', x, { filters: 4 });
      return graph.globalAveragePool(
        'pool',
        bottleneck(graph, 'block3', x, { filters: 8, strides: 2, isProjected: true }),
      );
    }),
  ),
  'wide resnet': network(
    [16, 16],
    3,
    build((graph) => {
      let x = graph.conv2d('stem', inputName, 8);
      x = normalizedFirstBlock(graph, 'block1', x, { filters: 16, isProjected: true });
      x = normalizedFirstBlock(graph, 'block2', x, { filters: 16 });
      x = normalizedFirstBlock(graph, 'block3', x, { filters: 24, strides: 2, isProjected: true });
      return graph.globalAveragePool('pool', graph.relu('relu', graph.batchNorm('bn', x)));
    }),
  ),
  mobilenet: network(
    [16, 16],
    3,
    build((graph) => {
      const stem = graph.batchNorm('stem/bn', graph.conv2d('stem/conv', inputName, 8, { strides: 2 }));
      let x = graph.activation('relu6', 'stem/relu', stem);
      x = invertedBlock(graph, 'block1', x, 8, { filters: 8 });
      x = invertedBlock(graph, 'block2', x, 8, { filters: 12, strides: 2 });
      x = invertedBlock(graph, 'block3', x, 12, { filters: 12 });
      return graph.globalAveragePool('pool', x);
    }),
  ),
  airbench: network([32, 32], 3, airbench()),
  perceptron: network(
    [28, 28],
    1,
    build((graph) => {
      let x = graph.node({ name: 'flat', op: 'flatten', inputs: [inputName] });
      x = graph.relu('relu1', graph.batchNorm('bn', graph.dense('dense1', x, 50, { bias: false })));
      x = graph.activation('silu', 'silu', graph.dense('dense2', x, 37));
      return graph.node({ name: 'dropped', op: 'dropout', inputs: [x], rate: 0.3 });
    }),
  ),
  vgg: network(
    [16, 16],
    3,
    build((graph) => {
      let x = graph.relu('relu1', graph.conv2d('conv1', inputName, 8));
      x = graph.pool('pool1', 'maxPool', graph.relu('relu2', graph.conv2d('conv2', x, 12)), { size: 2 });
      x = graph.relu('relu3', graph.conv2d('conv3', x, 16));
      x = graph.pool('pool2', 'averagePool', graph.relu('relu4', graph.conv2d('conv4', x, 16)), { size: 2 });
      x = graph.node({ name: 'flat', op: 'flatten', inputs: [x] });
      return graph.relu('relu5', graph.dense('dense1', x, 20));
    }, true),
  ),
  'wide images': network(
    [12, 20],
    3,
    build((graph) => {
      const x = basicBlock(graph, 'block1', graph.conv2d('stem', inputName, 8), { filters: 8 });
      const narrow = basicBlock(graph, 'block2', x, { filters: 12, strides: 2, isProjected: true });
      return graph.globalAveragePool('pool', basicBlock(graph, 'block3', narrow, { filters: 12 }));
    }),
  ),
  'every operation': network([9, 9], 3, everyOperation),
} satisfies Record<string, NetworkForTest>;
export type SmallNetwork = keyof typeof smallNetworks;
