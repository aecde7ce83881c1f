import { describe, expect, it } from 'vitest';
import { parseGraph } from '../../../shared/network/graph-schema.js';
import { resnet } from '../../../shared/network/networks/resnet.js';

const dense = { name: 'logits', op: 'dense', inputs: ['flat'], units: 'classes' };
const flat = { name: 'flat', op: 'flatten', inputs: ['input'] };
const conv = { name: 'conv', op: 'conv2d', inputs: ['input'], filters: 8, kernelSize: 3 };
const graphOf = (...nodes: unknown[]) => ({ name: 'net', nodes });

describe('a graph', () => {
  it('gets the defaults of omitted attributes', () => {
    const { nodes, channelOrder } = parseGraph(graphOf(conv, { ...flat, inputs: ['conv'] }, dense), 'net.json');
    expect(channelOrder).toBe('rgb');
    expect(nodes[0]).toEqual({ ...conv, kernelSize: [3, 3], strides: [1, 1], padding: 'same', groups: 1, bias: true });
    expect(nodes[2]).toEqual({ ...dense, bias: true });
  });

  it('stays the same when it is written as JSON and read again', () => {
    const graph = resnet({ depth: 8, initialFilters: 8, shortcut: 'identity', convBias: true, bnEpsilon: 0.001 });
    expect(parseGraph(JSON.parse(JSON.stringify(graph)), 'net.json')).toEqual(graph);
  });

  it.each([
    ['a number', 7, 'it must be an object with name and nodes'],
    ['a graph without nodes', { name: 'net', nodes: [] }, 'nodes is []: it must be a list of at least one node'],
    ['a null node', graphOf(null), 'node number 1: it must be an object'],
    ['an unknown operation', graphOf({ ...flat, op: 'lstm' }), 'node "flat": op is "lstm": it must be one of conv2d, '],
    [
      'an unknown attribute',
      graphOf({ ...conv, dilation: 2 }),
      'node "conv": unknown attribute "dilation": conv2d has name, inputs, op, filters, kernelSize, strides, ',
    ],
    [
      'settings of a bias that the node omits',
      graphOf({ ...conv, bias: false, weights: { bias: { trainable: false } } }, { ...flat, inputs: ['conv'] }, dense),
      'node "conv": weights has settings for bias, but the node has only kernel',
    ],
    [
      'no filters',
      graphOf({ ...conv, filters: undefined }),
      'node "conv": filters is missing: it must be a whole number from 1 to 65536',
    ],
    [
      'filters of 0',
      graphOf({ ...conv, filters: 0 }),
      'node "conv": filters is 0: it must be a whole number from 1 to 65536',
    ],
    [
      'a huge kernel',
      graphOf({ ...conv, kernelSize: 65 }),
      'node "conv": kernelSize is 65: it must be a whole number from 1 to 64, or one for height and one for width',
    ],
    [
      'a padding of its own',
      graphOf({ ...conv, padding: 'causal' }),
      'node "conv": padding is "causal": it must be same or valid',
    ],
    [
      'an initializer of its own',
      graphOf({ ...conv, weights: { kernel: { initializer: 'x' } } }),
      'node "conv": weights.kernel.initializer is "x": it must be zeros, ones, ',
    ],
    [
      'settings of an array that the node lacks',
      graphOf({ ...conv, weights: { gamma: {} } }),
      'node "conv": weights: unknown attribute "gamma"',
    ],
    [
      'one input for a sum',
      graphOf({ name: 'sum', op: 'add', inputs: ['input'] }),
      'node "sum": inputs is ["input"]: it must be a list of at least 2 names',
    ],
    [
      'a name with a space',
      graphOf({ ...flat, name: 'a b' }),
      'node "a b": name is "a b": it must be a text of 1 to 200 visible characters without spaces',
    ],
    [
      'two nodes with one name',
      graphOf(flat, { ...dense, name: 'flat' }),
      'two nodes have the name "flat": names must be unique',
    ],
    [
      'a node named input',
      graphOf({ ...flat, name: 'input' }),
      'a node has the name "input", which stands for the images',
    ],
    [
      'an input that comes later',
      graphOf(dense, flat),
      'node "logits" has the input "flat", but no earlier node has this name',
    ],
    ['an unused node', graphOf(conv, flat, dense), 'nothing uses the output of "conv"'],
    [
      'a dropout rate of 1',
      graphOf({ name: 'drop', op: 'dropout', inputs: ['input'], rate: 1 }),
      'node "drop": rate is 1: it must be below 1',
    ],
  ])('is refused if it is %s', (_, value, problem) => {
    expect(() => parseGraph(value, 'net.json')).toThrow(`net.json is not a valid network: ${problem}`);
  });
});
