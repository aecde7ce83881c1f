// The configuration on the command line and in files: options made from the table in shared/config.ts, flags winning.
import { readFile } from 'node:fs/promises';
import { Option, type Command } from 'commander';
import {
  configFields,
  isConfigKey,
  kebabCase,
  resolveConfig,
  type ConfigInput,
  type ConfigKey,
} from '../shared/config.js';
import { LockstepError, messageOf } from '../shared/errors.js';

const keys = Object.keys(configFields).filter(isConfigKey);
const numbersWithoutDefault: ReadonlySet<ConfigKey> = new Set([
  'steps',
  'epochs',
  'checkpointEvery',
  'keepCheckpoints',
]);

/** Adds an option for every field of the configuration, and --config. */
export function addConfigOptions(command: Command): Command {
  command.option('--config <FILE>', 'a JSON file with any of these options under their camelCase names; flags win');
  for (const key of keys) {
    const { help, default: fallback, placeholder } = configFields[key];
    const flag = kebabCase(key);
    if (typeof fallback === 'boolean') {
      command.addOption(new Option(`--${flag}`, help).hideHelp(fallback));
      command.addOption(new Option(`--no-${flag}`, `without: ${help}`).hideHelp(!fallback));
    } else {
      const shown = fallback === null ? '' : ` (default: ${String(fallback)})`;
      command.option(`--${flag} <${placeholder}>`, help + shown);
    }
  }
  return command;
}

/**
 * The keys of the configuration that a command was given, checked. Under --resume how they fit together shows only with
 * those of the checkpoint. Throws `bad-config` naming the flag or the file's key.
 */
export async function readConfig(options: Readonly<Record<string, unknown>>): Promise<ConfigInput> {
  const flags: Record<string, unknown> = {};
  for (const key of keys) {
    if (options[key] !== undefined) flags[key] = valueOf(key, options[key]);
  }
  const { config: file } = options;
  const fromFile = typeof file === 'string' ? await readConfigFile(file) : {};
  // A length on the command line replaces whichever length the file names.
  if ('steps' in flags || 'epochs' in flags) {
    delete fromFile['steps'];
    delete fromFile['epochs'];
  }
  const input = { ...fromFile, ...flags };
  const nameOf = (key: string) =>
    key in fromFile && !(key in flags) ? `${key} in ${String(file)}` : `--${kebabCase(key)}`;
  if (options['resume'] === undefined) resolveConfig(input, nameOf);
  return input;
}

/** A flag's text as its field's type; text that is not of it is left for the field's own check to refuse. */
function valueOf(key: ConfigKey, given: unknown): unknown {
  if (typeof given !== 'string') return given;
  const { default: fallback } = configFields[key];
  if (Array.isArray(fallback)) return given.split(',').map(numberOrText);
  const isNumeric = typeof fallback === 'number' || numbersWithoutDefault.has(key);
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
    throw new LockstepError('bad-config', `--config ${file} is not a readable JSON file: ${messageOf(cause)}`, {
      cause,
    });
  }
}
