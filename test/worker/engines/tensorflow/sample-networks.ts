// Networks for tests of this engine: each operation by itself, and small versions of well-known networks.
import type { GraphNode } from '../../../../shared/network/graph.js';
import { parseGraph } from '../../../../shared/network/graph-schema.js';
import { layoutNetwork, type DataShape, type ModelLayout } from '../../../../shared/network/layout.js';
import { everyOperation } from '../../../support/sample-graphs.js';

/** A node as JSON, without its name. Its input is the node before it, unless it names others. */
type Step = { op: GraphNode['op']; name?: string; inputs?: string[] } & Record<string, unknown>;

const colored: DataShape = { height: 9, width: 8, channels: 3, classCount: 5 };
const square: DataShape = { height: 16, width: 16, channels: 3, classCount: 10 };

/** Lays out nodes in a row, each the input of the next. Nodes without a name have their position as their name. */
export function chain(steps: readonly Step[], data: DataShape = colored, channelOrder = 'rgb'): ModelLayout {
  let previous = 'input';
  const nodes = steps.map((step, index) => {
    const node = { name: `node${index}`, inputs: [previous], ...step };
    previous = node.name;
    return node;
  });
  return layoutNetwork(parseGraph({ name: 'chain', channelOrder, nodes }, 'the network of a test'), data);
}

const conv = (filters: number, attributes: Record<string, unknown> = {}): Step => ({
  op: 'conv2d',
  filters,
  kernelSize: 3,
  ...attributes,
});
const logits: readonly Step[] = [{ op: 'flatten' }, { op: 'dense', units: 'classes' }];

/** Puts steps between a convolution, so that gradients pass through them, and the logits. */
const around = (...steps: Step[]) => chain([conv(8), ...steps, ...logits]);
const activated = (op: GraphNode['op']) => around({ op: 'scale', factor: 8 }, { op });
/** Puts steps that take vectors between two dense layers. */
const aroundVectors = (...steps: Step[]) =>
  chain([{ op: 'flatten' }, { op: 'dense', units: 12 }, ...steps, { op: 'dense', units: 'classes' }]);

const gate: readonly Step[] = [
  conv(8, { name: 'features' }),
  { op: 'globalAveragePool', name: 'squeezed' },
  { op: 'sigmoid', name: 'gate' },
];
const vectorTimesImages: Step = { op: 'multiply', inputs: ['features', 'gate'] };

export const operations: Readonly<Record<string, ModelLayout>> = {
  'a convolution with strides and same padding': around(conv(6, { strides: [2, 3] })),
  'a convolution with valid padding': around(conv(6, { kernelSize: [2, 4], padding: 'valid' })),
  'a convolution without a bias': around(conv(6, { bias: false })),
  'a convolution with a kernel larger than the image': around(
    { op: 'maxPool', poolSize: 4, strides: 4 },
    conv(6, { kernelSize: 7 }),
  ),
  'a convolution with strides above the kernel size': around(conv(6, { kernelSize: [1, 2], strides: 3 })),
  'a kernel of one pixel': around(conv(6, { kernelSize: 1 })),
  'a kernel of one pixel with strides': around(conv(16), conv(6, { kernelSize: 1, strides: 2 })),
  'a kernel of one pixel with strides and few channels': chain([
    conv(4),
    conv(6, { kernelSize: 1, strides: [2, 1] }),
    ...logits,
  ]),
  'two groups': around(conv(6, { groups: 2 })),
  'four groups with strides': around(conv(12, { groups: 4, strides: 2, bias: false })),
  'groups and a kernel of one pixel with strides': around(conv(12, { groups: 4, kernelSize: 1, strides: 2 })),
  'a depthwise convolution': around(conv(8, { groups: 8 })),
  'a depthwise convolution with strides': around(conv(8, { groups: 8, kernelSize: 5, strides: 2, padding: 'valid' })),
  'a depthwise convolution with unequal strides': around(conv(8, { groups: 8, strides: [1, 2] })),
  'a depthwise convolution with two filters per channel': around(conv(16, { groups: 8 })),
  'a dense layer without a bias': aroundVectors({ op: 'dense', units: 7, bias: false }),
  'batch norm': around({ op: 'batchNorm' }),
  'batch norm without scale': around({ op: 'batchNorm', scale: false, epsilon: 0.1 }),
  'batch norm without offset': around({ op: 'batchNorm', offset: false }),
  'batch norm without either': around({ op: 'batchNorm', scale: false, offset: false }),
  'batch norm of vectors': aroundVectors({ op: 'batchNorm' }, { op: 'relu' }),
  'batch norm of the input': chain([{ op: 'batchNorm' }, conv(4), ...logits]),
  'batch norm of a layer that others read too': chain([
    conv(4, { name: 'features' }),
    { op: 'batchNorm', name: 'normalized' },
    { op: 'add', inputs: ['features', 'normalized'] },
    ...logits,
  ]),
  relu: activated('relu'),
  relu6: activated('relu6'),
  gelu: activated('gelu'),
  silu: activated('silu'),
  sigmoid: activated('sigmoid'),
  'activations of vectors': aroundVectors({ op: 'gelu' }, { op: 'dense', units: 6 }, { op: 'silu' }),
  'max pooling': around({ op: 'maxPool', poolSize: 2, strides: 2 }),
  'max pooling of many equal elements': around({ op: 'relu' }, { op: 'maxPool', poolSize: 3, strides: 2 }),
  'max pooling with overlap and padding': around({ op: 'maxPool', poolSize: [3, 2], strides: [2, 1], padding: 'same' }),
  'pooling with windows larger than the image': around(
    { op: 'maxPool', poolSize: [12, 3], strides: [4, 1], padding: 'same' },
    { op: 'averagePool', poolSize: [3, 12], strides: [1, 16], padding: 'same' },
  ),
  'average pooling': around({ op: 'averagePool', poolSize: 2, strides: 2 }),
  'average pooling with overlap and padding': around({
    op: 'averagePool',
    poolSize: 3,
    strides: [2, 1],
    padding: 'same',
  }),
  'global average pooling': around({ op: 'globalAveragePool' }, { op: 'reshape', shape: [2, 2, 2] }),
  'global max pooling': around({ op: 'relu' }, { op: 'globalMaxPool' }, { op: 'reshape', shape: [2, 2, 2] }),
  'a sum of three': chain([
    conv(4, { name: 'a' }),
    conv(4, { name: 'b', inputs: ['a'] }),
    conv(4, { name: 'c', inputs: ['a'] }),
    { op: 'add', inputs: ['a', 'b', 'c'] },
    ...logits,
  ]),
  'a value added to itself': around({ op: 'sigmoid', name: 's' }, { op: 'add', inputs: ['s', 's'] }),
  'a product': chain([
    conv(4, { name: 'a' }),
    conv(4, { name: 'b', inputs: ['input'] }),
    { op: 'multiply', inputs: ['a', 'b'] },
    ...logits,
  ]),
  'a square': around({ op: 'sigmoid', name: 's' }, { op: 'multiply', inputs: ['s', 's'] }),
  'images times a factor per channel': chain([...gate, vectorTimesImages, ...logits]),
  'images times an image of one pixel': chain([
    ...gate,
    { op: 'reshape', shape: [1, 1, 8], name: 'pixel' },
    { op: 'multiply', inputs: ['features', 'pixel'] },
    ...logits,
  ]),
  'vectors times an image of one pixel': chain([
    ...gate,
    { op: 'reshape', shape: [1, 1, 8], name: 'pixel' },
    { op: 'multiply', inputs: ['squeezed', 'pixel'] },
    { op: 'reshape', shape: [1, 1, 8], name: 'again' },
    { op: 'multiply', inputs: ['features', 'again'] },
    ...logits,
  ]),
  'a concatenation of images': chain([
    conv(4, { name: 'a' }),
    conv(3, { name: 'b', inputs: ['input'] }),
    conv(2, { name: 'c', inputs: ['a'] }),
    { op: 'concat', inputs: ['a', 'b', 'input', 'c'] },
    ...logits,
  ]),
  'a concatenation of vectors': aroundVectors(
    { op: 'relu', name: 'a' },
    { op: 'dense', units: 5, name: 'b' },
    { op: 'concat', inputs: ['a', 'b'] },
  ),
  padding: around({ op: 'pad', rows: [1, 2], columns: [0, 3], channels: [2, 1] }),
  'reshaping of images': around({ op: 'reshape', shape: [6, 4, 24] }, conv(4)),
  'reshaping of vectors': aroundVectors({ op: 'reshape', shape: [2, 3, 2] }, conv(3), { op: 'flatten' }),
  dropout: around({ op: 'dropout', rate: 0.3 }),
  'dropout of vectors, twice': aroundVectors(
    { op: 'dropout', rate: 0.5 },
    { op: 'dense', units: 9 },
    { op: 'dropout', rate: 0.1 },
  ),
  scaling: around({ op: 'scale', factor: 0.25, offset: 1.5 }),
  'scaling per channel': around({ op: 'scale', factor: [1, 2, 3, 4, -1, -2, -3, 0], offset: [1, 2, 3, 4, 5, 6, 7, 8] }),
  'frozen arrays': chain([
    conv(4, { weights: { kernel: { trainable: false } } }),
    { op: 'batchNorm', weights: { gamma: { trainable: false }, beta: { trainable: false } } },
    conv(4, { weights: { bias: { trainable: false } } }),
    { op: 'batchNorm', weights: { beta: { trainable: false } } },
    { op: 'flatten' },
    { op: 'dense', units: 'classes', weights: { bias: { trainable: false } } },
  ]),
  'gray images': chain([conv(4), ...logits], { height: 7, width: 7, channels: 1, classCount: 300 }),
  'channels in the order blue, green, red': chain([conv(4), ...logits], colored, 'bgr'),
  'every operation': layoutNetwork(parseGraph(everyOperation, 'the graph of every operation'), {
    height: 9,
    width: 9,
    channels: 3,
    classCount: 5,
  }),
};

/** A convolution, a batch norm and an activation. */
const block = (op: GraphNode['op'], filters: number, attributes: Record<string, unknown> = {}): Step[] => [
  conv(filters, { bias: false, ...attributes }),
  { op: 'batchNorm', epsilon: 1e-5 },
  { op },
];
const onePixel = { kernelSize: 1 };
const head: readonly Step[] = [{ op: 'globalAveragePool' }, { op: 'dense', units: 'classes' }];

/** Adds what `inner` computes from the node `source` to what `passed` computes from it: by default, the node itself. */
function residual(source: string, inner: readonly Step[], passed: readonly Step[] = []): Step[] {
  const path = (steps: readonly Step[], end: string) =>
    steps.map((step, index) => ({
      ...step,
      ...(index === 0 ? { inputs: [source] } : {}),
      ...(index === steps.length - 1 ? { name: end } : {}),
    }));
  const ends = [`${source}/inner`, passed.length === 0 ? source : `${source}/passed`];
  return [...path(inner, ends[0]), ...path(passed, ends[1]), { op: 'add', inputs: ends }];
}

const projection = (filters: number): Step[] => block('relu', filters, { ...onePixel, strides: 2 }).slice(0, 2);

export const networks: Readonly<Record<string, ModelLayout>> = {
  'a ResNet for ImageNet': chain(
    [
      ...block('relu', 8, { kernelSize: 7, strides: 2 }),
      { op: 'maxPool', poolSize: 3, strides: 2, padding: 'same', name: 'stem' },
      ...residual('stem', [...block('relu', 8), ...block('relu', 8).slice(0, 2)]),
      { op: 'relu', name: 'group1' },
      ...residual('group1', [...block('relu', 16, { strides: 2 }), ...block('relu', 16).slice(0, 2)], projection(16)),
      { op: 'relu' },
      ...head,
    ],
    { ...square, height: 32, width: 32 },
  ),
  'a ResNet with bottlenecks': chain(
    [
      ...block('relu', 16).slice(0, 2),
      { op: 'relu', name: 'stem' },
      ...residual(
        'stem',
        [
          ...block('relu', 8, onePixel),
          ...block('relu', 8, { strides: 2 }),
          ...block('relu', 32, onePixel).slice(0, 2),
        ],
        projection(32),
      ),
      { op: 'relu' },
      ...head,
    ],
    square,
  ),
  'a wide ResNet': chain(
    [
      conv(8, { bias: false }),
      { op: 'batchNorm', epsilon: 1e-5 },
      { op: 'relu', name: 'active' },
      ...residual(
        'active',
        [...block('relu', 16, { strides: 2 }), conv(16, { bias: false })],
        [conv(16, { ...onePixel, strides: 2, bias: false })],
      ),
      { op: 'batchNorm', epsilon: 1e-5 },
      { op: 'relu' },
      ...head,
    ],
    square,
  ),
  'a MobileNet': chain(
    [
      ...block('relu6', 8, { strides: 2 }).slice(0, 2),
      { op: 'relu6', name: 'stem' },
      ...residual('stem', [
        ...block('relu6', 24, onePixel),
        ...block('relu6', 24, { groups: 24 }),
        ...block('relu6', 8, onePixel).slice(0, 2),
      ]),
      ...block('relu6', 48, onePixel),
      ...block('relu6', 48, { groups: 48, strides: 2 }),
      ...block('relu6', 12, onePixel).slice(0, 2),
      ...head,
    ],
    square,
  ),
  'a speedrun network': chain(
    [
      conv(24, { kernelSize: 2, padding: 'valid', weights: { kernel: { trainable: false } } }),
      { op: 'gelu' },
      conv(16, { bias: false }),
      { op: 'maxPool', poolSize: 2, strides: 2 },
      { op: 'batchNorm', scale: false, epsilon: 1e-12 },
      { op: 'gelu' },
      conv(16, { bias: false }),
      { op: 'batchNorm', scale: false, epsilon: 1e-12 },
      { op: 'gelu' },
      { op: 'maxPool', poolSize: 3, strides: 3 },
      { op: 'flatten' },
      { op: 'dense', units: 'classes', bias: false },
      { op: 'scale', factor: 1 / 9 },
    ],
    square,
  ),
  'a multilayer perceptron': chain(
    [
      { op: 'flatten' },
      { op: 'dense', units: 64 },
      { op: 'relu' },
      { op: 'dropout', rate: 0.2 },
      { op: 'dense', units: 32 },
      { op: 'relu' },
      { op: 'dense', units: 'classes' },
    ],
    square,
  ),
  'squeeze and excitation': chain(
    [
      ...block('silu', 12, { strides: 2 }).slice(0, 2),
      { op: 'silu', name: 'features' },
      { op: 'globalAveragePool' },
      { op: 'dense', units: 4 },
      { op: 'silu' },
      { op: 'dense', units: 12 },
      { op: 'sigmoid', name: 'gate' },
      { op: 'multiply', inputs: ['features', 'gate'] },
      ...head,
    ],
    square,
  ),
};
