// The configuration on the command line and in files: options made from the table in shared/config.ts, flags winning.
import { readFile } from 'node:fs/promises';
import { Option, type Command } from 'commander';
import { configFields, recipeFields } from '../../shared/config/config-fields.js';
import {
  assertKnownKeys,
  isConfigKey,
  kebabCase,
  resolveConfig,
  type ConfigInput,
  type ConfigKey,
} from '../../shared/config/config.js';
import { LockstepError, messageOf, systemCodeOf } from '../../shared/errors.js';
import { recipeNames, recipePresets } from '../../shared/config/recipe-presets.js';

const keys = Object.keys(configFields).filter(isConfigKey);

/** Adds an option for every field of the configuration, and --config. */
export function addConfigOptions(command: Command): Command {
  command
    .option('--config <FILE>', 'a JSON file with any of these options under their camelCase names; flags win')
    .addOption(
      new Option(
        '--set <KEY=VALUE>',
        'one of these options under its camelCase name, over --config; may be repeated',
      ).argParser((setting: string, before: string[] | undefined) => [...(before ?? []), setting]),
    )
    .addHelpText('after', `\n${describeRecipes()}`);
  for (const key of keys) {
    const { help, default: fallback, placeholder } = configFields[key];
    const flag = kebabCase(key);
    const group = key in recipeFields ? 'The recipe, which the weights depend on:' : 'The run:';
    if (typeof fallback === 'boolean') {
      command.addOption(new Option(`--${flag}`, help).hideHelp(fallback).helpGroup(group));
      command.addOption(new Option(`--no-${flag}`, `without: ${help}`).hideHelp(!fallback).helpGroup(group));
    } else {
      const shown = fallback === null ? '' : ` (default: ${String(fallback)})`;
      command.addOption(new Option(`--${flag} <${placeholder}>`, help + shown).helpGroup(group));
    }
  }
  return command;
}

/** What each recipe sets, for --help. */
function describeRecipes(): string {
  const lines = recipeNames.map((name) => {
    const [usual, deepest] = [20, 110].map((depth) =>
      Object.entries(recipePresets[name]({ depth })).map(([key, value]) => `${key}=${String(value)}`),
    );
    const more = deepest.filter((setting) => !usual.includes(setting));
    const settings = usual.length === 0 ? 'the defaults' : usual.join(' ');
    return `  ${name.padEnd(10)}${settings}${more.length === 0 ? '' : `; from --depth 110 on also ${more.join(' ')}`}`;
  });
  return ['What --recipe sets, where it is not given itself:', ...lines].join('\n');
}

/**
 * The keys of the configuration that a command was given, checked: flags win over --set, --set over --config, all over the
 * recipe. Under --resume how they fit together shows only with those of the checkpoint. Throws `bad-config` naming the flag
 * or the file's key.
 */
export async function readConfig(options: Readonly<Record<string, unknown>>): Promise<ConfigInput> {
  const flags: Record<string, unknown> = {};
  for (const key of keys) {
    if (options[key] !== undefined) flags[key] = valueOf(key, options[key]);
  }
  const { config: file } = options;
  const fromFile = typeof file === 'string' ? await readConfigFile(file) : {};
  const settings = readSettings(Array.isArray(options['set']) ? options['set'] : []);
  assertKnownKeys(fromFile, `in ${String(file)}`);
  assertKnownKeys(settings, 'of --set');
  const sources = [
    { values: fromFile, nameOf: (key: string) => `${key} in ${String(file)}` },
    { values: settings, nameOf: (key: string) => `--set ${key}` },
    { values: flags, nameOf: (key: string) => `--${kebabCase(key)}` },
  ];
  const input: Record<string, unknown> = {};
  for (const { values } of sources) {
    // A length replaces whichever length a weaker source names.
    if ('steps' in values || 'epochs' in values) {
      delete input['steps'];
      delete input['epochs'];
    }
    Object.assign(input, values);
  }
  const nameOf = (key: string) => sources.findLast(({ values }) => key in values)?.nameOf(key) ?? `--${kebabCase(key)}`;
  if (options['resume'] === undefined) resolveConfig(input, nameOf);
  return input;
}

/** `["depth=32", "recipe=fast"]`. Values are JSON, and text where they are not. Throws `bad-config` for one without a `=`. */
function readSettings(settings: readonly unknown[]): Record<string, unknown> {
  return Object.fromEntries(
    settings.map((setting) => {
      const text = String(setting);
      const equals = text.indexOf('=');
      if (equals < 1) {
        throw new LockstepError(
          'bad-config',
          `--set is ${JSON.stringify(text)}: it must be KEY=VALUE, such as depth=32`,
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

/** A flag's text as its field's type; text that is not of it is left for the field's own check to refuse. */
function valueOf(key: ConfigKey, given: unknown): unknown {
  if (typeof given !== 'string') return given;
  const { default: fallback, schema } = configFields[key];
  if (Array.isArray(fallback)) return given === '' ? [] : given.split(',').map(numberOrText);
  // Fields without a default may still be numbers: 1 is one that all of those take.
  const isNumeric = typeof fallback === 'number' || schema.safeParse(1).success;
  return isNumeric ? numberOrText(given) : given;
}

export function numberOrText(text: string): number | string {
  const number = Number(text);
  return text.trim() === '' || Number.isNaN(number) ? text : number;
}

/** A flag's whole number. Throws `bad-option` naming the flag and what is allowed. */
export function parseWholeNumber(
  flag: string,
  text: string,
  minimum: number,
  maximum = Number.MAX_SAFE_INTEGER,
): number {
  const number = numberOrText(text);
  if (typeof number === 'number' && Number.isSafeInteger(number) && number >= minimum && number <= maximum)
    return number;
  const range = maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
  throw new LockstepError('bad-option', `${flag} is ${JSON.stringify(text)}: it must be a whole number ${range}`);
}

async function readConfigFile(file: string): Promise<Record<string, unknown>> {
  try {
    const content: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (typeof content !== 'object' || content === null || Array.isArray(content))
      throw new Error('it is not an object');
    return { ...content };
  } catch (cause) {
    const code = systemCodeOf(cause);
    const why =
      code === undefined
        ? `is not a JSON file: ${messageOf(cause).replaceAll(/\s+/g, ' ')}`
        : code === 'ENOENT'
          ? 'does not exist'
          : `cannot be read (${code})`;
    throw new LockstepError('bad-config', `--config ${file} ${why}; lockstep config prints one to begin with`, {
      cause,
    });
  }
}
