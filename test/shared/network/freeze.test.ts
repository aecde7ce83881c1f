import { describe, expect, it } from 'vitest';
import { freezeArrays } from '../../../shared/network/freeze.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { resnet } from '../../../shared/network/networks/resnet.js';

const graph = resnet({ depth: 8, initialFilters: 4, shortcut: 'identity', convBias: true, bnEpsilon: 0.001 });
const frozenBy = (...patterns: string[]) =>
  layoutNetwork(freezeArrays(graph, patterns), cifar10Format)
    .weights.filter(({ trainable }) => !trainable)
    .map(({ name }) => name);

describe('freezing', () => {
  it.each<[string[], string[]]>([
    [['dense/kernel'], ['dense/kernel']],
    [['stem/*'], ['stem/conv/kernel', 'stem/conv/bias', 'stem/bn/gamma', 'stem/bn/beta']],
    [
      ['group1/*/kernel', 'dense/bias'],
      ['group1/block1/conv1/kernel', 'group1/block1/conv2/kernel', 'dense/bias'],
    ],
    [['*/bn2/*a'], [1, 2, 3].flatMap((group) => ['gamma', 'beta'].map((name) => `group${group}/block1/bn2/${name}`))],
  ])('%j marks exactly the arrays that match', (patterns, names) => expect(frozenBy(...patterns)).toEqual(names));

  it('does not use the same text for two parts of a pattern', () => {
    // "stem/bn/beta" begins with "stem/bn" and ends with "n/beta", but not in turn.
    expect(() => frozenBy('stem/bn*n/beta')).toThrow('matches no array');
  });

  it('keeps the other settings of an array', () => {
    const [conv, ...others] = graph.nodes;
    const withSettings = { ...graph, nodes: [{ ...conv, weights: { kernel: { weightDecay: false } } }, ...others] };
    const [kernel] = layoutNetwork(freezeArrays(withSettings, ['stem/conv/*']), cifar10Format).weights;
    expect(kernel).toMatchObject({ trainable: false, weightDecay: false });
  });

  it('by a pattern that matches nothing is refused, with the names of some arrays', () => {
    expect(() => frozenBy('*', 'head/*')).toThrow(
      expect.objectContaining({
        code: 'bad-config',
        message:
          '`freeze` has the pattern "head/*", which matches no array of the network resnet8: its 30 arrays begin with ' +
          'stem/conv/kernel, stem/conv/bias, stem/bn/gamma, stem/bn/beta, group1/block1/conv1/kernel',
      }),
    );
  });
});
