// The configuration on the command line: an option for each field, --config and --set. Flags take precedence over
// --set, and --set over --config.
import { readFile } from 'node:fs/promises';
import { Help, Option, type Command } from 'commander';
import { configFields, recipeFields, type Field } from '../../shared/config/config-fields.js';
import {
  assertKnownKeys,
  isConfigKey,
  kebabCase,
  resolveConfig,
  type ConfigInput,
  type ConfigKey,
} from '../../shared/config/config.js';
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { decodeGraph } from '../../shared/network/graph-json.js';
import { testTimeAugmentations } from '../../shared/dataset/test-time-augmentation.js';
import { namedNetworks } from '../../shared/network/networks/registry.js';
import { recipeNames, recipePresets } from '../../shared/config/recipe-presets.js';
import { numberOrText } from './number-options.js';

const keys = Object.keys(configFields).filter(isConfigKey);

/** Adds --config, --set and an option for every field. */
export function addConfigOptions(command: Command): Command {
  command
    .optionsGroup('Configuration files:')
    .option(
      '--config <FILE>',
      'JSON file with configuration fields, in camelCase (see lockstep config); flags override it',
    )
    .addOption(
      new Option(
        '--set <KEY=VALUE>',
        'set a configuration field by its camelCase name, such as batchSize=256; overrides --config; repeatable',
      ).argParser((setting: string, previous: string[] | undefined) => [...(previous ?? []), setting]),
    )
    .addHelpText('after', `\n${describeRecipes()}\n\n${describeNetworks()}`);
  for (const key of keys.filter((each) => !hasOption(command, each))) {
    command.optionsGroup(key in recipeFields ? 'Recipe (affects the weights):' : 'Run:');
    addConfigOption(command, key);
  }
  return command;
}

/** Whether a command already has the option for a field, in another group. */
function hasOption(command: Command, key: ConfigKey): boolean {
  return command.options.some((option) => option.attributeName() === key);
}

function describeDefault(value: unknown): string {
  const text = Array.isArray(value) ? value.join(',') : value;
  return typeof text === 'number' || (typeof text === 'string' && text !== '') ? ` (default: ${text})` : '';
}

/**
 * Adds the option for one field. A boolean field also has a --no-… form; --help shows only the form that changes the
 * default.
 */
export function addConfigOption(command: Command, key: ConfigKey): void {
  const { help, helpOff = `do not ${help}`, default: defaultValue, placeholder } = configFields[key];
  const flag = kebabCase(key);
  if (typeof defaultValue === 'boolean') {
    command.addOption(new Option(`--${flag}`, help).hideHelp(defaultValue));
    command.addOption(new Option(`--no-${flag}`, helpOff).hideHelp(!defaultValue));
  } else {
    const option = new Option(`--${flag} <${placeholder}>`, help + describeDefault(defaultValue));
    // A list may be given in several parts.
    if (Array.isArray(defaultValue)) {
      option.argParser((text: string, previous: string | undefined) =>
        previous === undefined ? text : `${previous},${text}`,
      );
    }
    command.addOption(option);
  }
}

/** --test-time-augmentation of commands that evaluate a checkpoint. */
export function testTimeAugmentationOption(): Option {
  return new Option(
    '--test-time-augmentation <VIEWS>',
    `${configFields.testTimeAugmentation.help} (default: as in the run)`,
  ).choices(testTimeAugmentations);
}

/** Describes the networks and their options, for --help. */
function describeNetworks(): string {
  const lines = ['Networks for --network, besides resnet, and their options:'];
  for (const [name, { help, options }] of Object.entries(namedNetworks)) {
    lines.push(`  ${name}: ${help}`);
    for (const [option, { help: optionHelp, allowed, default: value, format = String }] of Object.entries(options)) {
      const text = `${option}: ${optionHelp}; ${allowed} (default: ${format(value)})`;
      lines.push(`    ${new Help().boxWrap(text, 74).replaceAll('\n', '\n      ')}`);
    }
  }
  return lines.join('\n');
}

/** Describes what each recipe sets, for --help. */
function describeRecipes(): string {
  const lines = ['What --recipe sets:'];
  for (const name of recipeNames) {
    const flagsAt = (depth: number) => Object.entries(recipePresets[name]({ depth })).map(asFlag);
    const flags = flagsAt(20);
    const deepFlags = flagsAt(110).filter((flag) => !flags.includes(flag));
    if (flags.length === 0) flags.push('the defaults');
    if (deepFlags.length > 0) flags.push('and, if --depth is at least 110,', ...deepFlags);
    lines.push(`  ${new Help().boxWrap(`${name}: ${flags.join(' ')}`, 74).replaceAll('\n', '\n    ')}`);
  }
  return lines.join('\n');
}

function asFlag([key, value]: [string, unknown]): string {
  if (typeof value === 'boolean') return `--${value ? '' : 'no-'}${kebabCase(key)}`;
  return `--${kebabCase(key)} ${String(value)}`;
}

/**
 * Returns the configuration fields that were given, after validating their values. With --resume, they are validated
 * later, together with the fields from the checkpoint. Throws `bad-config` with the name of the flag or of the key in
 * the file.
 */
export async function readConfig(options: Readonly<Record<string, unknown>>): Promise<ConfigInput> {
  const flags: Record<string, unknown> = {};
  for (const key of keys) {
    if (options[key] !== undefined) flags[key] = parseFlag(key, options[key]);
  }
  const { config: file } = options;
  const fileValues = typeof file === 'string' ? await readConfigFile(file) : {};
  const settings = parseSettings(Array.isArray(options['set']) ? options['set'] : []);
  assertKnownKeys(fileValues, `in ${String(file)}`);
  assertKnownKeys(settings, 'of --set');
  const sources = [
    { values: fileValues, nameOf: (key: string) => `${key} in ${String(file)}` },
    { values: settings, nameOf: (key: string) => `--set ${key}` },
    { values: flags, nameOf: (key: string) => `--${kebabCase(key)}` },
  ];
  const input: Record<string, unknown> = {};
  for (const { values } of sources) {
    // `steps` from one source also overrides `epochs` from an earlier one, and vice versa.
    if ('steps' in values || 'epochs' in values) {
      delete input['steps'];
      delete input['epochs'];
    }
    Object.assign(input, values);
  }
  if ('network' in input) input['network'] = await readNetwork(input['network']);
  const nameOf = (key: string) => sources.findLast(({ values }) => key in values)?.nameOf(key) ?? `--${kebabCase(key)}`;
  if (options['resume'] === undefined) resolveConfig(input, nameOf);
  return input;
}

/**
 * Parses settings such as `depth=32`. A value that is not valid JSON is used as text. Throws `bad-config` if there is
 * no `=`.
 */
function parseSettings(settings: readonly unknown[]): Record<string, unknown> {
  return Object.fromEntries(
    settings.map((setting) => {
      const text = String(setting);
      const equals = text.indexOf('=');
      if (equals < 1) {
        throw new LockstepError(
          'bad-config',
          `--set is ${JSON.stringify(text)}: it must be KEY=VALUE, for example depth=32`,
        );
      }
      const value = text.slice(equals + 1);
      try {
        return [text.slice(0, equals), JSON.parse(value) as unknown];
      } catch {
        return [text.slice(0, equals), value];
      }
    }),
  );
}

/**
 * Converts a flag's text to the type of its field. Invalid text is returned unchanged, for the field's schema to
 * reject.
 */
function parseFlag(key: ConfigKey, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const { default: defaultValue, schema, isList }: Field<unknown> = configFields[key];
  if (Array.isArray(defaultValue) || isList) {
    const texts = value === '' ? [] : value.split(',');
    return schema.safeParse(texts).success ? texts : texts.map(numberOrText);
  }
  // Some fields without a default are numbers too; each of those accepts 1 or 64.
  const isNumeric = typeof defaultValue === 'number' || [1, 64].some((number) => schema.safeParse(number).success);
  return isNumeric ? numberOrText(value) : value;
}

/** Returns the graph in a network's JSON file, and any other value of `network` unchanged. Throws `bad-config`. */
async function readNetwork(network: unknown): Promise<unknown> {
  if (typeof network !== 'string' || !network.endsWith('.json')) return network;
  const file = await readFile(network).catch((cause: unknown) => {
    const code = systemCodeOf(cause);
    const problem = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`;
    throw new LockstepError('bad-config', `the file ${network} of \`network\` ${problem}`, { cause });
  });
  return decodeGraph(file, network);
}

async function readConfigFile(file: string): Promise<Record<string, unknown>> {
  const unusable = (why: string, cause?: unknown) => {
    const remedy = 'to create a valid file, run `lockstep config > FILE`';
    return new LockstepError('bad-config', `--config ${file} ${why}; ${remedy}`, { cause });
  };
  let content: unknown;
  try {
    content = JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    const code = systemCodeOf(cause);
    if (code === 'ENOENT') throw unusable('does not exist', cause);
    if (code !== undefined) throw unusable(`cannot be read (${code})`, cause);
    throw unusable(`is not a JSON file: ${messageOf(cause).replaceAll(/\s+/g, ' ')}`, cause);
  }
  if (typeof content === 'object' && content !== null && !Array.isArray(content)) return { ...content };
  throw unusable('is not a valid configuration file: the top-level value is not an object');
}
