// Marks arrays of a graph as frozen, by patterns of their names. Pure.
import { LockstepError } from '../errors.js';
import type { GraphNode, NetworkGraph, WeightName } from './graph.js';

/** Returns the names of a node's arrays, without the node's own name. */
export function weightNamesOf(node: GraphNode): WeightName[] {
  switch (node.op) {
    case 'conv2d':
    case 'dense':
      return node.bias ? ['kernel', 'bias'] : ['kernel'];
    case 'batchNorm':
      return [...(node.scale ? (['gamma'] as const) : []), ...(node.offset ? (['beta'] as const) : [])];
    default:
      return [];
  }
}

/** Returns whether a name matches a pattern, in which `*` stands for any text. */
function matches(name: string, pattern: string): boolean {
  const [first, ...rest] = pattern.split('*');
  if (rest.length === 0) return name === pattern;
  const last = rest.pop()!;
  if (!name.startsWith(first) || !name.endsWith(last)) return false;
  // Taking the earliest match of each part leaves the most text for those after it.
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= name.length - last.length;
}

/**
 * Returns the graph with the matching arrays marked as not trainable.
 * @param patterns names of arrays such as `stem/conv/kernel`, in which `*` stands for any text
 * Throws `bad-config` if a pattern matches no array.
 */
export function freezeArrays(graph: NetworkGraph, patterns: readonly string[]): NetworkGraph {
  if (patterns.length === 0) return graph;
  const unused = new Set(patterns);
  const freeze = (name: string) => {
    const matching = patterns.filter((pattern) => matches(name, pattern));
    for (const pattern of matching) unused.delete(pattern);
    return matching.length > 0;
  };
  const nodes = graph.nodes.map((node): GraphNode => {
    const frozen = weightNamesOf(node).filter((name) => freeze(`${node.name}/${name}`));
    if (frozen.length === 0) return node;
    const settings = frozen.map((name) => [name, { ...node.weights?.[name], trainable: false }] as const);
    return { ...node, weights: { ...node.weights, ...Object.fromEntries(settings) } };
  });
  const [first] = unused;
  if (first === undefined) return { ...graph, nodes };
  throw new LockstepError(
    'bad-config',
    `\`freeze\` has the pattern ${JSON.stringify(first)}, which matches no array of the network ${graph.name}: ${exampleNames(graph)}`,
  );
}

function exampleNames({ nodes }: NetworkGraph): string {
  const names = nodes.flatMap((node) => weightNamesOf(node).map((name) => `${node.name}/${name}`));
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `its ${names.length} arrays begin with ${shown}` : `its arrays are ${shown}`;
}
