// The fields that choose the network: reads them, and builds the network's graph from them. Pure.
import { LockstepError } from '../errors.js';
import { freezeArrays } from '../network/freeze.js';
import type { NetworkGraph } from '../network/graph.js';
import { graphSha256 } from '../network/graph-json.js';
import { parseGraph } from '../network/graph-schema.js';
import { parseNetworkChoice, resnetName } from '../network/networks/registry.js';
import { assertResnetOptions, resnet } from '../network/networks/resnet.js';
import { configFields, type Config } from './config-fields.js';

/** Fields that are the options of the network `resnet`. Other networks have their own options. */
export const resnetKeys = ['depth', 'initialFilters', 'shortcut', 'convBias', 'bnEpsilon'] as const;
/** Fields from which the graph is built. Workers receive the graph instead. */
export const networkKeys = ['network', 'freeze', ...resnetKeys] as const;
export type NetworkConfig = Pick<Config, (typeof networkKeys)[number]>;

/**
 * Returns a value of `network` in the form that all equal values share: a name with options, or a valid graph.
 * @param field name of the field, for error messages
 * Throws `bad-config`.
 */
export function parseNetwork(network: unknown, field: string): NetworkGraph | string {
  return typeof network === 'string' ? parseNetworkChoice(network, field).text : parseGraph(network, field);
}

/** Throws `bad-config` if an option of `resnet` is set for another network. */
export function assertNetworkConfig(config: NetworkConfig, nameOf: (key: string) => string): void {
  const { network, freeze } = config;
  // Builds the graph to find patterns that match nothing.
  if (network === resnetName) assertResnetOptions(config);
  if (freeze.length > 0) graphOf(config);
  if (network === resnetName) return;
  const changed = resnetKeys.find((key) => config[key] !== configFields[key].default);
  if (changed === undefined) return;
  throw new LockstepError(
    'bad-config',
    `${nameOf(changed)} is ${String(config[changed])}, but it belongs to the network ${resnetName}, and ${nameOf('network')} is ` +
      `${describeNetwork(network)}: omit ${nameOf(changed)}, or use the network's own options`,
  );
}

/** Returns the network of a configuration, with its frozen arrays. Throws `bad-config` for a pattern without a match. */
export function graphOf(config: NetworkConfig): NetworkGraph {
  const { network, freeze } = config;
  return freezeArrays(typeof network === 'string' ? namedGraph(network, config) : network, freeze);
}

function namedGraph(network: string, config: NetworkConfig): NetworkGraph {
  const { build } = parseNetworkChoice(network, '`network`');
  return build === undefined ? resnet(config) : build();
}

/** Describes a value of `network` in a few words. */
export function describeNetwork(network: NetworkGraph | string): string {
  if (typeof network === 'string') return network;
  const { name, nodes } = network;
  return `the graph ${name} (${nodes.length} nodes, hash ${graphSha256(network).slice(0, 8)})`;
}
