// Small networks of different kinds for the tests of exports. Together with everyOperation they have every operation, with
// every way in which a format writes it.
import { parseGraph } from '../../../shared/network/graph-schema.js';
import type { NetworkGraph } from '../../../shared/network/graph.js';
import { everyOperation } from '../../support/sample-graphs.js';

type Attributes = Record<string, unknown> & { name: string; op: string; inputs?: string[] };

/** Returns a graph in which each node's input is the previous node, unless it has its own inputs. */
function graphOf(name: string, channelOrder: 'rgb' | 'bgr', nodes: Attributes[]): NetworkGraph {
  const connected = nodes.map((node, index) => ({ inputs: [index === 0 ? 'input' : nodes[index - 1].name], ...node }));
  return parseGraph({ name, channelOrder, nodes: connected }, `the network ${name}`);
}

const conv = (name: string, filters: number, attributes: object = {}) => ({
  name,
  op: 'conv2d',
  filters,
  kernelSize: 3,
  bias: false,
  ...attributes,
});
const norm = (name: string, attributes: object = {}) => ({ name, op: 'batchNorm', ...attributes });
const logits = { name: 'dense', op: 'dense', units: 'classes' };

/** The ImageNet form of ResNet-18 with few filters and two of its blocks. */
const resnet18 = graphOf('small-resnet18', 'bgr', [
  conv('stem/conv', 8, { kernelSize: 7, strides: 2 }),
  norm('stem/bn'),
  { name: 'stem/relu', op: 'relu' },
  { name: 'stem/pool', op: 'maxPool', poolSize: 3, strides: 2, padding: 'same' },
  conv('block1/conv1', 8),
  norm('block1/bn1'),
  { name: 'block1/relu1', op: 'relu' },
  conv('block1/conv2', 8),
  norm('block1/bn2'),
  { name: 'block1/add', op: 'add', inputs: ['block1/bn2', 'stem/pool'] },
  { name: 'block1/relu2', op: 'relu' },
  conv('block2/conv1', 12, { strides: 2 }),
  norm('block2/bn1'),
  { name: 'block2/relu1', op: 'relu' },
  conv('block2/conv2', 12),
  norm('block2/bn2'),
  conv('block2/projection', 12, { inputs: ['block1/relu2'], kernelSize: 1, strides: 2 }),
  norm('block2/bn3'),
  { name: 'block2/add', op: 'add', inputs: ['block2/bn2', 'block2/bn3'] },
  { name: 'block2/relu2', op: 'relu' },
  { name: 'pool', op: 'globalAveragePool' },
  logits,
]);

/** As MobileNet V2 in Keras, whose strided convolutions have explicit padding. */
const mobilenet = graphOf('small-mobilenet', 'bgr', [
  { name: 'pad0', op: 'pad', rows: [0, 1], columns: [0, 1] },
  conv('conv0', 8, { strides: 2, padding: 'valid' }),
  norm('bn0'),
  { name: 'relu0', op: 'relu6' },
  conv('expand', 24, { kernelSize: 1 }),
  norm('bn1'),
  { name: 'relu1', op: 'relu6' },
  { name: 'pad1', op: 'pad', rows: [0, 1], columns: [0, 1] },
  conv('depthwise', 24, { groups: 24, strides: 2, padding: 'valid' }),
  norm('bn2'),
  { name: 'relu2', op: 'relu6' },
  conv('project', 12, { kernelSize: 1 }),
  norm('bn3'),
  { name: 'pool', op: 'globalAveragePool' },
  { name: 'dropout', op: 'dropout', rate: 0.2 },
  logits,
]);

/** Squeeze-and-excite as in EfficientNet, with factors of the shape [1, 1, channels]. */
const squeezeAndExcite = graphOf('squeeze-and-excite', 'rgb', [
  { name: 'rescaled', op: 'scale', factor: [1.5, 2, 2.5], offset: [0.1, -0.2, 0.3] },
  conv('conv', 8),
  norm('bn', { offset: false }),
  { name: 'swish', op: 'silu' },
  { name: 'squeeze', op: 'globalAveragePool' },
  { name: 'reshaped', op: 'reshape', shape: [1, 1, 8] },
  conv('reduce', 4, { kernelSize: 1, bias: true }),
  { name: 'reduced', op: 'silu' },
  conv('expand', 8, { kernelSize: 1, bias: true }),
  { name: 'gate', op: 'sigmoid' },
  { name: 'excited', op: 'multiply', inputs: ['swish', 'gate'] },
  { name: 'peak', op: 'globalMaxPool' },
  logits,
]);

/** Flattens blue, green and red, so that the order of the channels cannot be changed in a kernel of a convolution. */
const mlp = graphOf('mlp', 'bgr', [
  { name: 'flatten', op: 'flatten' },
  { name: 'hidden', op: 'dense', units: 16, bias: false },
  norm('bn', { scale: false }),
  { name: 'relu', op: 'relu' },
  { name: 'factors', op: 'dense', units: 16 },
  { name: 'product', op: 'multiply', inputs: ['relu', 'factors'] },
  { name: 'scaled', op: 'scale', factor: 0.5, offset: 0.25 },
  logits,
]);

/** As the airbench networks: a valid 2×2 convolution with frozen filters, GELU, and scaled logits. */
const airbench = graphOf('small-airbench', 'rgb', [
  conv('whiten', 24, { kernelSize: 2, padding: 'valid', bias: true, weights: { kernel: { trainable: false } } }),
  { name: 'gelu1', op: 'gelu' },
  conv('conv1', 12),
  { name: 'pool1', op: 'maxPool', poolSize: 2, strides: 2 },
  norm('bn1', { scale: false }),
  { name: 'gelu2', op: 'gelu' },
  conv('conv2', 12),
  norm('bn2', { scale: false }),
  { name: 'gelu3', op: 'gelu' },
  { name: 'pool2', op: 'maxPool', poolSize: 3, strides: 3 },
  { name: 'flatten', op: 'flatten' },
  { ...logits, bias: false },
  { name: 'scaled', op: 'scale', factor: 1 / 9 },
]);

/** Names that files cannot contain as they are, that collide, or that the exported network has for itself. */
const awkwardNames = graphOf('net/größe', 'bgr', [
  { name: 'preprocessing', op: 'averagePool', poolSize: [2, 1], strides: [2, 1], padding: 'same' },
  { name: 'images', op: 'relu6' },
  { name: 'größe', op: 'scale', factor: 2 },
  conv('gr__e', 6, { bias: true }),
  { name: 'a/b', op: 'relu' },
  conv('gr__e/kernel', 6, { kernelSize: [3, 1], groups: 3, bias: true }),
  { name: 'a.b', op: 'relu' },
  conv('_deep', 12, { kernelSize: [1, 3], groups: 6, strides: [1, 2] }),
  { name: 'logits', op: 'globalMaxPool' },
  { name: '权重', op: 'dense', units: 'classes' },
]);

export const sampleNetworks: readonly NetworkGraph[] = [
  parseGraph(everyOperation, 'every operation'),
  parseGraph({ ...everyOperation, name: 'every-operation-bgr', channelOrder: 'bgr' }, 'every operation'),
  resnet18,
  mobilenet,
  squeezeAndExcite,
  mlp,
  airbench,
  awkwardNames,
];
