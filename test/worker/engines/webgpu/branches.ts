// A network with one short branch for each operation, so that the errors of one operation do not add to those of others.
import { parseGraph } from '../../../../shared/network/graph-schema.js';
import type { NetworkGraph } from '../../../../shared/network/graph.js';

type Node = Record<string, unknown> & { op: string };

/** The nodes between a branch's own convolution and its end, each of which takes the output of the one before it. */
const branches: Readonly<Record<string, (channels: number) => readonly Node[]>> = {
  same: (channels) => [{ op: 'conv2d', filters: channels, kernelSize: 3 }],
  strided: (channels) => [
    { op: 'conv2d', filters: channels + 1, kernelSize: [3, 2], strides: [2, 1], padding: 'valid', bias: false },
  ],
  depthwise: (channels) => [{ op: 'conv2d', filters: channels, kernelSize: 3, strides: 2, groups: channels }],
  grouped: (channels) => [{ op: 'conv2d', filters: 2 * channels, kernelSize: 3, groups: channels, padding: 'valid' }],
  batchNorm: () => [{ op: 'batchNorm' }],
  plainBatchNorm: () => [{ op: 'relu' }, { op: 'batchNorm', scale: false, offset: false }],
  relu: () => [{ op: 'relu' }],
  relu6: () => [{ op: 'scale', factor: 9, offset: 1 }, { op: 'relu6' }],
  gelu: () => [{ op: 'gelu' }],
  silu: () => [{ op: 'silu' }],
  sigmoid: () => [{ op: 'sigmoid' }],
  maxPool: () => [{ op: 'maxPool', poolSize: 3, strides: 2, padding: 'same' }],
  averagePool: () => [{ op: 'averagePool', poolSize: [2, 3], strides: [2, 1], padding: 'same' }],
  sampled: () => [{ op: 'averagePool', poolSize: 1, strides: 2 }],
  pad: () => [{ op: 'pad', rows: [1, 2], columns: [0, 1], channels: [2, 1] }, { op: 'relu' }],
  reshape: (channels) => [{ op: 'reshape', shape: [7, 5, channels] }, { op: 'flatten' }],
  dropout: () => [{ op: 'dropout', rate: 0.25 }],
  scale: (channels) => [{ op: 'scale', factor: Array.from({ length: channels }, (_, c) => 0.5 + c), offset: 0.25 }],
  dense: () => [{ op: 'flatten' }, { op: 'dense', units: 13 }, { op: 'gelu' }],
};

/** Branches whose kernels depend most on the number of channels. */
const essential = new Set(['same', 'strided', 'grouped', 'plainBatchNorm', 'maxPool', 'pad']);

/**
 * Returns the graph. Its branches have images with this many channels.
 * @param isComplete whether it has all branches
 */
export function branchingNetwork(channels: number, isComplete = true): NetworkGraph {
  const nodes: (Node & { name: string; inputs: string[] })[] = [];
  const add = (name: string, inputs: string[], node: Node): string => {
    nodes.push({ name, inputs, ...node });
    return name;
  };
  const start = (branch: string) =>
    add(`${branch}/start`, ['input'], { op: 'conv2d', filters: channels, kernelSize: 1 });
  const average = (branch: string, x: string) => add(`${branch}/average`, [x], { op: 'globalAveragePool' });
  const ends: string[] = [];
  for (const [branch, nodesOf] of Object.entries(branches)) {
    if (!isComplete && !essential.has(branch)) continue;
    let x = start(branch);
    let isVector = false;
    for (const [index, node] of nodesOf(channels).entries()) {
      x = add(`${branch}/${index}`, [x], node);
      isVector ||= node.op === 'flatten';
    }
    ends.push(isVector ? x : average(branch, x));
  }
  const peak = add('peak/values', [start('peak')], { op: 'globalMaxPool' });
  const [a, b, c] = ['a', 'b', 'c'].map(start);
  ends.push(peak);
  ends.push(average('sum', add('sum', [a, b, a, c], { op: 'add' })));
  if (isComplete) ends.push(average('product', add('product', [b, c], { op: 'multiply' })));
  if (isComplete) ends.push(average('gated', add('gated', [a, peak], { op: 'multiply' })));
  const joined = add('joined', [a, b, c], { op: 'concat' });
  ends.push(average('joined', add('joined/gelu', [joined], { op: 'gelu' })));
  const features = add('features', ends, { op: 'concat' });
  add('logits', [features], { op: 'dense', units: 'classes' });
  return parseGraph({ name: `branches-${channels}`, nodes }, 'a graph with a branch for each operation');
}
