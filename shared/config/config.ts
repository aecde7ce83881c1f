// The configuration of a run: one commented table, resolved once, frozen. Its names are those of the command line
// (there in kebab-case), of configuration files and of the library. Nothing here reads files, argv or the environment.
import { z } from 'zod';
import { LockstepError } from '../errors.js';
import {
  cropPaddings,
  flipModes,
  preprocessingNames,
  type CropPadding,
  type FlipMode,
  type PreprocessingName,
} from '../dataset/image-batch.js';
import { layoutModel, type Shortcut } from '../network/layout.js';
import { nearestWord } from './nearest-word.js';
import { recipeNames, recipePresets, type RecipeName } from './recipe-presets.js';

/** One field of the configuration: what it may be, what it is unless said, and what it is for. */
interface Field<Value> {
  schema: z.ZodType<Value>;
  default: Value;
  /** In words, for error messages: what a value must be. */
  allowed: string;
  /** One line of --help. */
  help: string;
  /** How the value is called in --help; none for a switch. */
  placeholder?: string;
}

function field<Value>(definition: Field<Value>): Field<Value> {
  return definition;
}

const wholeNumber = (minimum: number) => z.int().min(minimum);
const positive = z.number().positive().finite();
const fraction = z.number().min(0).max(1);
const text = z.string().min(1);

export const schedules = ['piecewise', 'cosine', 'one-cycle', 'constant'] as const;
export type ScheduleName = (typeof schedules)[number];

/** Fields that the weights depend on. */
export const recipeFields = {
  recipe: field<RecipeName>({
    schema: z.enum(recipeNames),
    default: 'tutorial',
    allowed: 'tutorial, paper or fast',
    help: 'a named set of values for what is not given itself: see below',
    placeholder: 'NAME',
  }),
  seed: field({
    schema: wholeNumber(0),
    default: 0,
    allowed: 'a whole number from 0 to 2^53 - 1',
    help: 'what every random choice of the run is derived from',
    placeholder: 'N',
  }),
  slices: field({
    schema: wholeNumber(1).max(4096),
    default: 4,
    allowed: 'a whole number from 1 to 4096 that divides the batch size',
    help: 'equal parts of the global batch; each is normalized by itself, so this is part of the result',
    placeholder: 'S',
  }),
  batchSize: field({
    schema: wholeNumber(1),
    default: 128,
    allowed: 'a whole number of at least 1',
    help: 'images in a global batch',
    placeholder: 'B',
  }),
  steps: field({
    schema: wholeNumber(1).nullable(),
    default: null,
    allowed: 'a whole number of at least 1',
    help: 'optimizer updates (default: 64000)',
    placeholder: 'N',
  }),
  epochs: field({
    schema: wholeNumber(1).nullable(),
    default: null,
    allowed: 'a whole number of at least 1',
    help: 'length in epochs instead of steps',
    placeholder: 'N',
  }),
  depth: field({
    schema: wholeNumber(8),
    default: 20,
    allowed: '6n+2: 20, 32, 44, 56, 110, …',
    help: 'weighted layers of the ResNet, 6n+2',
    placeholder: 'D',
  }),
  initialFilters: field({
    schema: wholeNumber(4).multipleOf(4),
    default: 16,
    allowed: 'a positive multiple of 4',
    help: 'channels of the first group; the next two have two and four times as many',
    placeholder: 'N',
  }),
  shortcut: field<Shortcut>({
    schema: z.enum(['identity', 'projection']),
    default: 'identity',
    allowed: 'identity or projection',
    help: 'how the input passes a block that halves the picture: identity or projection',
    placeholder: 'KIND',
  }),
  convBias: field({ schema: z.boolean(), default: true, allowed: 'true or false', help: 'biases in convolutions' }),
  bnEpsilon: field({
    schema: positive,
    default: 0.001,
    allowed: 'a positive number',
    help: "batch norm's epsilon",
    placeholder: 'X',
  }),
  bnMomentum: field({
    schema: fraction,
    default: 0.99,
    allowed: 'a number from 0 to 1',
    help: 'how much of the moving statistics stays at each slice',
    placeholder: 'X',
  }),
  initialWeightsSha256: field({
    schema: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .nullable(),
    default: null,
    allowed: '64 hexadecimal digits',
    help: 'the hash that the weights of --initial-weights must have (default: whichever they have)',
    placeholder: 'HASH',
  }),
  validationSplit: field({
    schema: z.number().min(0).lt(1),
    default: 0.1,
    allowed: 'a number of at least 0 and below 1',
    help: 'the part of the training images that validates',
    placeholder: 'X',
  }),
  preprocessing: field<PreprocessingName>({
    schema: z.enum(preprocessingNames),
    default: 'imagenet',
    allowed: 'imagenet, per-pixel-mean or standardize',
    help:
      'what is taken from the pixels: imagenet (the means of its channels), per-pixel-mean (the mean training image), or ' +
      "standardize (the training images' channel means; then divided by their deviations instead of 255)",
    placeholder: 'NAME',
  }),
  augment: field({
    schema: z.boolean(),
    default: true,
    allowed: 'true or false',
    help: 'flipping and random crops of the training images',
  }),
  flip: field<FlipMode>({
    schema: z.enum(flipModes),
    default: 'random',
    allowed: 'random or alternating',
    help:
      'which training images --augment flips: random, or alternating (random in the first epoch, then in every other ' +
      'epoch the other way round)',
    placeholder: 'KIND',
  }),
  cropPadding: field<CropPadding>({
    schema: z.enum(cropPaddings),
    default: 'zeros',
    allowed: 'zeros or reflect',
    help: 'what --augment adds around an image before it is cropped: zeros, or reflect (the image, reflected in its edges)',
    placeholder: 'KIND',
  }),
  augmentValidation: field({
    schema: z.boolean(),
    default: false,
    allowed: 'true or false',
    help: 'flipping and random crops of the validation images too, others in each validation',
  }),
  labelSmoothing: field({
    schema: z.number().min(0).lt(1),
    default: 0,
    allowed: 'a number of at least 0 and below 1',
    help: 'part of the label that is spread over all classes; in the training loss alone',
    placeholder: 'X',
  }),
  learningRate: field({
    schema: positive,
    default: 0.1,
    allowed: 'a positive number',
    help: "the schedule's highest rate",
    placeholder: 'X',
  }),
  scaleLearningRate: field({
    schema: wholeNumber(1).nullable(),
    default: null,
    allowed: 'a whole number of at least 1',
    help: 'the batch size that --learning-rate is meant for: the rate grows in proportion with the batch',
    placeholder: 'B',
  }),
  schedule: field<ScheduleName>({
    schema: z.enum(schedules),
    default: 'piecewise',
    allowed: 'piecewise, cosine, one-cycle or constant',
    help: 'how the rate goes on: piecewise (by --learning-rate-boundaries), cosine, one-cycle or constant',
    placeholder: 'NAME',
  }),
  learningRateBoundaries: field({
    schema: z.array(wholeNumber(0)).refine((steps) => steps.every((step, i) => i === 0 || step > steps[i - 1])),
    default: [32_000, 48_000],
    allowed: 'whole numbers in rising order, separated by commas',
    help: 'with --schedule piecewise, the rate is divided by 10 behind each of these steps',
    placeholder: 'STEPS',
  }),
  warmupSteps: field({
    schema: wholeNumber(0).nullable(),
    default: null,
    allowed: 'a whole number of at least 0',
    help:
      'steps over which the rate rises at the beginning (default: 0; with one-cycle 30% of the run; 5 epochs where ' +
      '--scale-learning-rate raises the rate)',
    placeholder: 'N',
  }),
  warmupRate: field({
    schema: positive.nullable(),
    default: null,
    allowed: 'a positive number',
    help: 'a constant rate during --warmup-steps, instead of a rising one',
    placeholder: 'X',
  }),
  momentum: field({
    schema: z.number().min(0).lt(1),
    default: 0.9,
    allowed: 'a number of at least 0 and below 1',
    help: "SGD's momentum, in Keras's form",
    placeholder: 'X',
  }),
  nesterov: field({ schema: z.boolean(), default: false, allowed: 'true or false', help: 'Nesterov momentum' }),
  weightDecay: field({
    schema: z.number().min(0).finite(),
    default: 0,
    allowed: 'a number of at least 0',
    help: 'times the weight, added to the gradient of convolution and dense kernels',
    placeholder: 'X',
  }),
};

/** Fields that the weights do not depend on. */
const runFields = {
  data: field({
    schema: text.nullable(),
    default: null,
    allowed: 'a folder',
    help: 'folder of the CIFAR-10 binary files (default: ./data if it holds them, else synthetic images)',
    placeholder: 'DIR',
  }),
  runDir: field({
    schema: text.nullable(),
    default: null,
    allowed: 'a folder',
    help: 'where the run is written (default: runs/<time>)',
    placeholder: 'DIR',
  }),
  initialWeights: field({
    schema: text.nullable(),
    default: null,
    allowed: 'a safetensors file or a checkpoint',
    help: 'weights to begin with instead of drawn ones: a safetensors file as export writes it, or a checkpoint',
    placeholder: 'PATH',
  }),
  checkpointEvery: field({
    schema: wholeNumber(1).nullable(),
    default: null,
    allowed: 'a whole number of at least 1',
    help: 'steps between checkpoints, besides the one after each epoch',
    placeholder: 'STEPS',
  }),
  keepCheckpoints: field({
    schema: wholeNumber(1).nullable(),
    default: null,
    allowed: 'a whole number of at least 1',
    help: 'checkpoints that stay: the newest K, and the best by validation accuracy (default: all)',
    placeholder: 'K',
  }),
  tensorboard: field({
    schema: z.boolean(),
    default: true,
    allowed: 'true or false',
    help: "event files for TensorBoard in the run's folder",
  }),
  exact: field({
    schema: z.boolean(),
    default: false,
    allowed: 'true or false',
    help: "refuse workers whose engine's fingerprint is not the first worker's",
  }),
  heartbeatInterval: field({
    schema: positive,
    default: 2,
    allowed: 'a positive number',
    help: 'seconds between the pings that coordinator and workers send each other',
    placeholder: 'SECONDS',
  }),
  stragglerFactor: field({
    schema: z.number().min(1).finite().or(z.literal(0)),
    default: 3,
    allowed: '0, for never, or a number of at least 1',
    help: 'a slice that takes this many times the median is given to an idle worker too; 0 for never',
    placeholder: 'X',
  }),
  replicas: field({
    schema: wholeNumber(1),
    default: 2,
    allowed: 'a whole number of at least 1',
    help: "workers that hold a shard; copies beyond the first are placed beforehand, in the network's idle time",
    placeholder: 'R',
  }),
  heartbeatTimeout: field({
    schema: positive,
    default: 10,
    allowed: 'a positive number',
    help: 'seconds of silence after which the other end is taken for dead',
    placeholder: 'SECONDS',
  }),
};

export const configFields = { ...recipeFields, ...runFields };
export type ConfigKey = keyof typeof configFields;
/** A complete, valid configuration. */
export type Config = { readonly [Key in ConfigKey]: (typeof configFields)[Key]['default'] };
type ConfigValues = { -readonly [Key in ConfigKey]: Config[Key] };
/** What a person gives: any of the fields. */
export type ConfigInput = { readonly [Key in ConfigKey]?: Config[Key] | undefined };

const defaultSteps = 64_000;
const presets: Record<RecipeName, (values: Config) => ConfigInput> = recipePresets;

export function isConfigKey(key: string): key is ConfigKey {
  return Object.hasOwn(configFields, key);
}

/** `batchSize` as on the command line: `batch-size`. */
export function kebabCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Throws `bad-config` naming a key that is none. @param place where the keys stand, for the message: `in FILE` */
export function assertKnownKeys(input: Readonly<Record<string, unknown>>, place = ''): void {
  const unknown = Object.keys(input).find((key) => !isConfigKey(key));
  if (unknown === undefined) return;
  const keys = Object.keys(configFields);
  const nearest = nearestWord(unknown, keys);
  const meant = nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
  const named = `${JSON.stringify(unknown)}${place === '' ? '' : ` ${place}`}`;
  throw new LockstepError('bad-config', `unknown key ${named}${meant}: the keys are ${keys.join(', ')}`);
}

/**
 * Fills in defaults and checks every value and how they fit together.
 * @param nameOf how a field is called where the values come from, for error messages
 * Throws `bad-config` naming the field, the value and what is allowed.
 */
export function resolveConfig(input: Readonly<Record<string, unknown>>, nameOf = (key: string) => key): Config {
  const bad = (key: string, value: unknown, allowed: string): never => {
    // JSON has no word for infinity.
    const shown = typeof value === 'number' ? String(value) : JSON.stringify(value);
    throw new LockstepError('bad-config', `${nameOf(key)} is ${shown}: it must be ${allowed}`);
  };
  const values: Record<string, unknown> = {};
  assertKnownKeys(input);
  for (const [key, { schema, default: fallback, allowed }] of Object.entries(configFields)) {
    const given = input[key];
    if (given === undefined) {
      values[key] = fallback;
      continue;
    }
    const parsed = schema.safeParse(given);
    values[key] = parsed.success ? parsed.data : bad(key, given, allowed);
  }
  fillFromPreset(values as ConfigValues, input);
  // Each value came through its own field's schema.
  const config = values as ConfigValues;
  if ((config.depth - 2) % 6 !== 0) bad('depth', config.depth, configFields.depth.allowed);
  if (config.batchSize % config.slices !== 0) {
    bad('slices', config.slices, `a whole number that divides ${nameOf('batchSize')}, which is ${config.batchSize}`);
  }
  if (config.heartbeatTimeout <= config.heartbeatInterval) {
    bad(
      'heartbeatTimeout',
      config.heartbeatTimeout,
      `more than ${nameOf('heartbeatInterval')}, which is ${config.heartbeatInterval}`,
    );
  }
  if (config.steps !== null && config.epochs !== null) {
    throw new LockstepError(
      'bad-config',
      `${nameOf('steps')} is ${config.steps} and ${nameOf('epochs')} is ${config.epochs}: give one of the two`,
    );
  }
  if (config.warmupRate !== null && (config.warmupSteps === null || config.schedule === 'one-cycle')) {
    bad('warmupRate', config.warmupRate, `left out without ${nameOf('warmupSteps')}, and with one-cycle, which rises`);
  }
  if (config.initialWeightsSha256 !== null && config.initialWeights === null) {
    bad('initialWeightsSha256', config.initialWeightsSha256, `left out without ${nameOf('initialWeights')}`);
  }
  layoutModel(config);
  Object.freeze(config.learningRateBoundaries);
  return Object.freeze(config);
}

/** Gives what was not given itself the recipe's value. A length in the one unit leaves out the recipe's in the other. */
function fillFromPreset(values: ConfigValues, input: Readonly<Record<string, unknown>>): void {
  const lengthIsGiven = values.steps !== null || values.epochs !== null;
  for (const [key, value] of Object.entries(presets[values.recipe](values))) {
    const isLength = key === 'steps' || key === 'epochs';
    if (isLength ? !lengthIsGiven : input[key] === undefined) Object.assign(values, { [key]: value });
  }
}

/** How many steps a run has. */
export function totalStepsOf(config: Config, stepsPerEpoch: number): number {
  if (config.epochs !== null) return config.epochs * stepsPerEpoch;
  return config.steps ?? defaultSteps;
}
