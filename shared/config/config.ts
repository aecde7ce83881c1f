// Resolves a configuration: fills in defaults and the recipe, checks every value, and freezes the result. The fields
// are in config-fields.ts. Nothing here reads files, argv or the environment.
import * as z from 'zod';
import { LockstepError } from '../errors.js';
import { resnetName } from '../network/networks/registry.js';
import { configFields, recipeFields, type Config, type ConfigInput, type ConfigKey } from './config-fields.js';
import { nearestWord } from './nearest-word.js';
import { assertNetworkConfig, networkKeys, parseNetwork, resnetKeys } from './network-config.js';
import { recipePresets, type RecipeName } from './recipe-presets.js';

export type { Config, ConfigInput, ConfigKey } from './config-fields.js';

const defaultSteps = 64_000;
const presets: Record<RecipeName, (values: Config) => ConfigInput> = recipePresets;

export function isConfigKey(key: string): key is ConfigKey {
  return Object.hasOwn(configFields, key);
}

/** Converts a key to its command-line form: `batchSize` becomes `batch-size`. */
export function kebabCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/**
 * Throws `bad-config` if a key is unknown.
 * @param place where the keys come from, for the error message: for example `in FILE`
 */
export function assertKnownKeys(input: Readonly<Record<string, unknown>>, place = ''): void {
  const unknown = Object.keys(input).find((key) => !isConfigKey(key));
  if (unknown === undefined) return;
  const keys = Object.keys(configFields);
  const nearest = nearestWord(unknown, keys);
  const hint = nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
  const named = `${JSON.stringify(unknown)}${place === '' ? '' : ` ${place}`}`;
  throw new LockstepError('bad-config', `unknown key ${named}${hint}: the keys are ${keys.join(', ')}`);
}

/**
 * Resolves a configuration: fills in the recipe and the defaults, and checks that the values are valid and consistent.
 * @param nameOf returns the name of a field for error messages; by default, its key in backticks
 * Throws `bad-config`, naming the field, its value, and the allowed values.
 */
export function resolveConfig(
  input: Readonly<Record<string, unknown>>,
  nameOf = (key: string) => `\`${key}\``,
): Config {
  assertKnownKeys(input);
  const values: Record<string, unknown> = {};
  for (const [key, { schema, default: fallback, allowed }] of Object.entries(configFields)) {
    const given = input[key];
    const parsed = given === undefined ? undefined : schema.safeParse(given);
    if (parsed?.success === false) throw badValue(nameOf(key), given, allowed);
    values[key] = parsed === undefined ? fallback : parsed.data;
  }
  // This is safe, because each value was parsed with its field's schema.
  const config = values as Mutable<Config>;
  config.network = parseNetwork(config.network, nameOf('network'));
  applyRecipe(config, input);
  assertConsistent(config, nameOf);
  assertNetworkConfig(config, nameOf);
  for (const list of [config.learningRateBoundaries, config.pixelMean, config.pixelStd, config.freeze]) {
    Object.freeze(list);
  }
  return Object.freeze(config);
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

function badValue(name: string, value: unknown, allowed: string): LockstepError {
  // JSON cannot represent NaN or Infinity.
  const shown = typeof value === 'number' ? String(value) : JSON.stringify(value);
  return new LockstepError('bad-config', `${name} is ${shown}: it must be ${allowed}`);
}

function assertConsistent(config: Config, nameOf: (key: string) => string): void {
  const check = (isAllowed: boolean, key: ConfigKey, allowed: string) => {
    if (!isAllowed) throw badValue(nameOf(key), config[key], allowed);
  };
  const { depth, batchSize, slices, heartbeatInterval, heartbeatTimeout, steps, epochs } = config;
  check(config.network !== resnetName || (depth - 2) % 6 === 0, 'depth', configFields.depth.allowed);
  check(
    batchSize % slices === 0,
    'slices',
    `a whole number that divides ${nameOf('batchSize')}, which is ${batchSize}`,
  );
  check(
    heartbeatTimeout > heartbeatInterval,
    'heartbeatTimeout',
    `greater than ${nameOf('heartbeatInterval')}, which is ${heartbeatInterval}`,
  );
  if (steps !== null && epochs !== null) {
    throw new LockstepError(
      'bad-config',
      `${nameOf('steps')} is ${steps} and ${nameOf('epochs')} is ${epochs}: give only one of them`,
    );
  }
  check(
    config.warmupRate === null ||
      (config.warmupSteps !== null && config.schedule !== 'one-cycle' && config.schedule !== 'triangular'),
    'warmupRate',
    `omitted without ${nameOf('warmupSteps')} and with the one-cycle and triangular schedules, which have their own warm-up`,
  );
  check(
    config.lookAhead === null || config.localSteps === 1,
    'lookAhead',
    `omitted with ${nameOf('localSteps')} above 1, which averages the weights in another way (the recipe speedrun sets it)`,
  );
  for (const key of ['pixelMean', 'pixelStd'] as const) {
    check(
      config[key] === null || config.preprocessing === 'standardize',
      key,
      `omitted unless ${nameOf('preprocessing')} is standardize`,
    );
  }
  check(
    config.testTimeAugmentation === 'none' || !config.augmentValidation,
    'testTimeAugmentation',
    `none with ${nameOf('augmentValidation')}`,
  );
  check(
    config.initialWeightsSha256 === null || config.initialWeights !== null,
    'initialWeightsSha256',
    `omitted without ${nameOf('initialWeights')}`,
  );
}

/**
 * Sets the recipe's values where `input` has none. If the input sets the run length, in steps or in epochs, the
 * recipe's length is ignored, whichever unit it uses. The options of `resnet` are set only for this network.
 */
function applyRecipe(config: Mutable<Config>, input: Readonly<Record<string, unknown>>): void {
  const hasLength = config.steps !== null || config.epochs !== null;
  const ofOtherNetwork: readonly string[] = config.network === resnetName ? [] : resnetKeys;
  for (const [key, value] of Object.entries(presets[config.recipe](config))) {
    if (ofOtherNetwork.includes(key)) continue;
    const isLength = key === 'steps' || key === 'epochs';
    if (isLength ? !hasLength : input[key] === undefined) Object.assign(config, { [key]: value });
  }
}

/**
 * Fields of the configuration that workers receive: those that determine the weights, and the heartbeat settings.
 * Workers receive no paths. They receive the network as a graph, apart from the configuration.
 */
const workerConfigKeys = [
  ...(Object.keys(recipeFields) as (keyof typeof recipeFields)[]),
  'heartbeatInterval' as const,
  'heartbeatTimeout' as const,
].filter((key) => !(networkKeys as readonly string[]).includes(key));
export type WorkerConfig = Pick<
  Config,
  Exclude<keyof typeof recipeFields, (typeof networkKeys)[number]> | 'heartbeatInterval' | 'heartbeatTimeout'
>;

/** Returns the part of a configuration that workers receive. */
export function workerConfigOf(config: Config): WorkerConfig {
  return Object.fromEntries(workerConfigKeys.map((key) => [key, config[key]])) as WorkerConfig;
}

/** Schema for the part of a configuration that workers receive. Does not check rules that involve several fields. */
export const workerConfigSchema = z.strictObject(
  Object.fromEntries(workerConfigKeys.map((key) => [key, configFields[key].schema])),
) as unknown as z.ZodType<WorkerConfig, WorkerConfig>;

/** Returns the number of steps in a run. */
export function totalStepsOf({ epochs, steps }: Pick<Config, 'epochs' | 'steps'>, stepsPerEpoch: number): number {
  return epochs === null ? (steps ?? defaultSteps) : epochs * stepsPerEpoch;
}
