// The networks that users can choose by name. `resnet` is among the names, but its options are fields of the
// configuration; see shared/config/network-config.ts.
import { LockstepError } from '../../errors.js';
import type { NetworkGraph } from '../graph.js';
import { resnet18, resnet50 } from './imagenet-resnet.js';
import { mlp } from './mlp.js';
import { mobilenet } from './mobilenet.js';
import type { NamedNetwork } from './named-network.js';
import { speedrun } from './speedrun.js';
import { wideResnet } from './wide-resnet.js';

export const namedNetworks: Readonly<Record<string, NamedNetwork>> = {
  resnet18,
  resnet50,
  'wide-resnet': wideResnet,
  mobilenet,
  speedrun,
  mlp,
};

/** Name of the network whose options are fields of the configuration. */
export const resnetName = 'resnet';
export const networkNames: readonly string[] = [resnetName, ...Object.keys(namedNetworks)];

/** A name with its options, such as `wide-resnet:depth=16,width=4`. */
export interface NetworkChoice {
  /** The same choice, in the form that all equal choices share: options in order, without those that have their default. */
  text: string;
  /** Returns the graph. Undefined for `resnet`. */
  build: (() => NetworkGraph) | undefined;
}

/**
 * Reads the name of a network and its options.
 * @param field name of the configuration field, for error messages
 * Throws `bad-config`, naming the option and the allowed values.
 */
export function parseNetworkChoice(text: string, field: string): NetworkChoice {
  const bad = (problem: string) =>
    new LockstepError('bad-config', `${field} is ${JSON.stringify(text.slice(0, 200))}: ${problem}`);
  const colon = text.indexOf(':');
  const name = colon < 0 ? text : text.slice(0, colon);
  const given = colon < 0 ? [] : text.slice(colon + 1).split(',');
  if (name === resnetName) {
    if (given.length === 0) return { text, build: undefined };
    throw bad(
      `${resnetName} has no options here: use the fields ` +
        '`depth`, `initialFilters`, `shortcut`, `convBias` and `bnEpsilon` instead',
    );
  }
  if (!Object.hasOwn(namedNetworks, name)) {
    throw bad(
      `there is no network ${JSON.stringify(name.slice(0, 200))}: it must be ${networkNames.join(', ')} or a network as JSON`,
    );
  }
  const { options, build } = namedNetworks[name];
  const known = Object.keys(options);
  const values = new Map(Object.entries(options).map(([key, option]) => [key, option.default]));
  const seen = new Set<string>();
  for (const setting of given) {
    const [, key, value] = /^([^=]*)=(.*)$/s.exec(setting) ?? [];
    if (key === undefined) throw bad(`${JSON.stringify(setting)} must be OPTION=VALUE`);
    const option = Object.hasOwn(options, key) ? options[key] : undefined;
    if (option === undefined) {
      const remedy = known.length === 0 ? `${name} has none` : `those of ${name} are ${known.join(', ')}`;
      throw bad(`there is no option ${JSON.stringify(key)}: ${remedy}`);
    }
    if (seen.has(key)) throw bad(`the option ${key} is given twice`);
    seen.add(key);
    const parsed = option.schema.safeParse(value);
    if (!parsed.success) throw bad(`the option ${key} must be ${option.allowed}`);
    values.set(key, parsed.data);
  }
  const changed = Object.entries(options).flatMap(([key, option]) => {
    const { format = String } = option;
    const value = format(values.get(key));
    return value === format(option.default) ? [] : [`${key}=${value}`];
  });
  return {
    text: changed.length === 0 ? name : `${name}:${changed.join(',')}`,
    build: () => build(Object.fromEntries(values)),
  };
}
