// The table of configuration fields: schema, default, and help text of each. Command-line options, configuration files
// and the library share these names (kebab-case on the command line). config.ts uses the table to resolve a
// configuration.
import * as z from 'zod';
import { imageFits, labelKinds, type ImageFit, type LabelKind } from '../dataset/description.js';
import { engineNames, type EngineName } from '../engine-names.js';
import type { NetworkGraph } from '../network/graph.js';
import type { Shortcut } from '../network/networks/resnet.js';
import { networkNames } from '../network/networks/registry.js';
import { encodings, type Encoding } from '../encoding/encodings.js';
import { belowOne, boolean, field, optionalText, optionalWholeNumber, positive, wholeNumber } from './field.js';
import { imageFields } from './image-fields.js';
import { recipeNames, type RecipeName } from './recipe-presets.js';

export type { Field } from './field.js';

export const schedules = ['piecewise', 'cosine', 'one-cycle', 'triangular', 'constant'] as const;
export type ScheduleName = (typeof schedules)[number];

/** An upper limit on how long a worker computes before it answers. */
const maxLocalSteps = 10_000;

/** Fields that determine the weights. */
export const recipeFields = {
  recipe: field<RecipeName>({
    schema: z.enum(recipeNames),
    default: 'tutorial',
    allowed: 'tutorial, paper, fast or speedrun',
    help: 'named set of training options (tutorial, paper, fast or speedrun), listed below; options given explicitly win',
    placeholder: 'NAME',
  }),
  seed: field({
    ...wholeNumber(0),
    default: 0,
    allowed: 'a whole number from 0 to 2^53 - 1',
    help: 'random seed; every random choice of the run derives from it',
    placeholder: 'N',
  }),
  slices: field({
    schema: z.int().min(1).max(4096),
    default: 4,
    allowed: 'a whole number from 1 to 4096 that divides the batch size',
    help:
      'number of slices each global batch is divided into; at most this many workers can compute at once; must divide the ' +
      'batch size. Batch norm is computed over each slice separately, so this affects the weights',
    placeholder: 'S',
  }),
  batchSize: field({
    schema: z.int().min(1).max(1_048_576),
    allowed: 'a whole number from 1 to 1,048,576',
    default: 128,
    help: 'images per global batch',
    placeholder: 'B',
  }),
  steps: field({
    ...optionalWholeNumber(1),
    help: 'length of the run in steps, one optimizer update each (default: 64000)',
    placeholder: 'N',
  }),
  epochs: field({
    ...optionalWholeNumber(1),
    help: 'length of the run in epochs, instead of --steps',
    placeholder: 'N',
  }),
  network: field<NetworkGraph | string>({
    schema: z.custom<NetworkGraph | string>((value) => typeof value === 'string' || typeof value === 'object'),
    default: 'resnet',
    allowed: `${networkNames.join(', ')}, with options after a colon, or a network as JSON`,
    help:
      `network to train: ${networkNames.join(', ')}, with options after a colon, such as wide-resnet:depth=16,width=4; or a ` +
      'JSON file that describes a network',
    placeholder: 'NAME|FILE.json',
  }),
  freeze: field<readonly string[]>({
    schema: z.array(z.string().min(1).max(200)).max(100),
    default: [],
    allowed: 'names of arrays, separated by commas, in which * stands for any text',
    help: 'keep these arrays of weights as they are initially, for example stem/*,group1/*; repeatable',
    placeholder: 'PATTERNS',
  }),
  depth: field({
    schema: z.int().min(8).max(2000),
    default: 20,
    allowed: '6n+2: 20, 32, 44, 56, 110, …, at most 2000',
    help: 'number of weighted layers of the network resnet, 6n+2: 8, 14, 20, 32, 44, 56, 110, …',
    placeholder: 'D',
  }),
  initialFilters: field({
    schema: z.int().min(4).max(1024).multipleOf(4),
    default: 16,
    allowed: 'a multiple of 4 from 4 to 1024',
    help: 'channels of the first group of layers of the network resnet; the next two groups have twice and four times as many',
    placeholder: 'N',
  }),
  shortcut: field<Shortcut>({
    schema: z.enum(['identity', 'projection']),
    default: 'identity',
    allowed: 'identity or projection',
    help: 'shortcut in downsampling blocks of the network resnet: identity or projection (He et al. 2016, options A and B)',
    placeholder: 'KIND',
  }),
  convBias: field({
    ...boolean,
    default: true,
    help: 'add biases to the convolutions of the network resnet',
    helpOff: 'omit biases from the convolutions of the network resnet',
  }),
  bnEpsilon: field({
    ...positive,
    default: 0.001,
    help: 'epsilon of batch norm in the network resnet',
    placeholder: 'X',
  }),
  bnMomentum: field({
    schema: z.number().min(0).max(1),
    default: 0.99,
    allowed: 'a number from 0 to 1',
    help: "decay of batch norm's moving statistics, applied once per slice (Keras's convention: 1 minus PyTorch's momentum)",
    placeholder: 'X',
  }),
  initialWeightsSha256: field({
    schema: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .nullable(),
    default: null,
    allowed: '64 hexadecimal digits',
    help: 'exit unless the weights in --initial-weights have this SHA-256 (default: not checked)',
    placeholder: 'HASH',
  }),
  imageSize: field({
    schema: z.int().min(8).max(224).nullable(),
    default: null,
    allowed: 'a whole number from 8 to 224',
    help: 'height and width to resize the images of a folder to, in pixels (default: 64)',
    placeholder: 'PIXELS',
  }),
  fit: field<ImageFit>({
    schema: z.enum(imageFits),
    default: 'crop',
    allowed: 'crop or squeeze',
    help: 'how to make the images of a folder square: crop (to the center) or squeeze (change the aspect ratio)',
    placeholder: 'MODE',
  }),
  labels: field<LabelKind>({
    schema: z.enum(labelKinds),
    default: 'fine',
    allowed: 'fine or coarse',
    help: 'labels of CIFAR-100: fine (100 classes) or coarse (20 classes)',
    placeholder: 'KIND',
  }),
  validationSplit: field({
    ...belowOne,
    default: 0.1,
    help: 'fraction of the training images set aside for validation, unless the dataset has validation images',
    placeholder: 'X',
  }),
  ...imageFields,
  labelSmoothing: field({
    ...belowOne,
    default: 0,
    help: 'label smoothing of the training loss: share of each label that is spread evenly over all classes',
    placeholder: 'X',
  }),
  learningRate: field({ ...positive, default: 0.1, help: 'peak learning rate of the schedule', placeholder: 'X' }),
  scaleLearningRate: field({
    ...optionalWholeNumber(1),
    help: 'reference batch size: multiply the learning rate by --batch-size / REF (default: no scaling)',
    placeholder: 'REF',
  }),
  schedule: field<ScheduleName>({
    schema: z.enum(schedules),
    default: 'piecewise',
    allowed: 'piecewise, cosine, one-cycle, triangular or constant',
    help: 'learning-rate schedule: piecewise (see --learning-rate-boundaries), cosine, one-cycle, triangular or constant',
    placeholder: 'NAME',
  }),
  learningRateBoundaries: field({
    schema: z.array(z.int().min(0)).refine((steps) => steps.every((step, i) => i === 0 || step > steps[i - 1])),
    default: [32_000, 48_000],
    allowed: 'whole numbers in rising order, separated by commas',
    help: 'with --schedule piecewise, divide the learning rate by 10 after each of these steps',
    placeholder: 'STEPS',
  }),
  warmupSteps: field({
    ...optionalWholeNumber(0),
    help:
      'steps over which the learning rate rises to its peak (default: 0; 30% of the run with one-cycle, 23% with triangular; 5 epochs when ' +
      '--scale-learning-rate raises the rate)',
    placeholder: 'N',
  }),
  warmupRate: field({
    schema: positive.schema.nullable(),
    default: null,
    allowed: positive.allowed,
    help: 'constant learning rate during --warmup-steps (default: rises linearly to the peak)',
    placeholder: 'X',
  }),
  momentum: field({
    ...belowOne,
    default: 0.9,
    help: 'momentum of SGD; as in Keras, the velocity accumulates gradients times the learning rate',
    placeholder: 'X',
  }),
  nesterov: field({ ...boolean, default: false, help: 'use Nesterov momentum' }),
  lookAhead: field({
    ...optionalWholeNumber(1),
    help: 'every N steps, continue from a running average of the weights, which is also the result of the run (default: do not average)',
    placeholder: 'N',
  }),
  weightDecay: field({
    schema: z.number().min(0).finite(),
    default: 0,
    allowed: 'a number of at least 0',
    help: 'L2 penalty: this multiple of the weight is added to the gradient of each convolution and dense kernel',
    placeholder: 'X',
  }),
  localSteps: field({
    schema: z.int().min(1).max(maxLocalSteps),
    default: 1,
    allowed: `a whole number from 1 to ${maxLocalSteps}`,
    help:
      'steps that each slice takes on its own before the weights are averaged (DiLoCo); with 1, all slices take each step together. ' +
      'Larger values exchange less and affect the weights',
    placeholder: 'H',
  }),
  outerLearningRate: field({
    ...positive,
    default: 0.7,
    help: 'with --local-steps above 1, learning rate of the update with the mean difference of the slices',
    placeholder: 'X',
  }),
  outerMomentum: field({
    ...belowOne,
    default: 0.9,
    help: 'with --local-steps above 1, Nesterov momentum of the update with the mean difference of the slices',
    placeholder: 'X',
  }),
  encoding: field<Encoding>({
    schema: z.enum(encodings),
    default: 'float32',
    allowed: encodings.join(' or '),
    help:
      'how gradients and weights travel: float32, or int8 (rounded to 8 bits: a quarter of the bytes, for slow networks). ' +
      'Rounding affects the weights',
    placeholder: 'NAME',
  }),
};

/** Fields outside the recipe: files, checkpoints, admission, heartbeats and scheduling. */
const runFields = {
  data: field({
    ...optionalText,
    allowed: 'a folder',
    help: 'folder of a dataset: CIFAR-10, CIFAR-100, MNIST, a packed dataset, or one subfolder of images per class (default: ./data if it holds CIFAR-10, otherwise synthetic images)',
    placeholder: 'DIR',
  }),
  runDir: field({
    ...optionalText,
    allowed: 'a folder',
    help: 'run directory, for checkpoints, metrics and the report (default: runs/<time>)',
    placeholder: 'DIR',
  }),
  initialWeights: field({
    ...optionalText,
    allowed: 'a safetensors file or a checkpoint',
    help: 'start from these weights instead of random ones: a safetensors file written by lockstep export, or a checkpoint',
    placeholder: 'PATH',
  }),
  checkpointEvery: field({
    ...optionalWholeNumber(1),
    help: 'also save a checkpoint every N steps (default: after each epoch only)',
    placeholder: 'N',
  }),
  keepCheckpoints: field({
    ...optionalWholeNumber(1),
    help: 'keep only the newest K checkpoints and the one with the best validation accuracy (default: keep all)',
    placeholder: 'K',
  }),
  tensorboard: field({ ...boolean, default: true, help: 'write TensorBoard event files to the run directory' }),
  engine: field<EngineName>({
    schema: z.enum(engineNames),
    default: 'auto',
    allowed: engineNames.join(', '),
    help: `engine that computes the gradients: ${engineNames.join(', ')}. auto measures the engines of the workers before the first step and uses the fastest`,
    placeholder: 'ENGINE',
  }),
  fingerprint: field({
    ...optionalText,
    allowed: "the fingerprint of a worker's engine",
    help: 'compute with exactly this engine, version and device model; config.json and --resume set it (default: chosen before the first step)',
    placeholder: 'TEXT',
  }),
  exact: field({
    ...boolean,
    default: false,
    help: "refuse workers that may round differently: those that do not offer the run's engine with the same version, device model and settings",
  }),
  heartbeatInterval: field({
    ...positive,
    default: 2,
    help: 'seconds between heartbeats',
    placeholder: 'SECONDS',
  }),
  heartbeatTimeout: field({
    ...positive,
    default: 10,
    help: 'disconnect a worker that has sent nothing for this many seconds; its slices go to other workers',
    placeholder: 'SECONDS',
  }),
  stragglerFactor: field({
    schema: z.number().min(1).finite().or(z.literal(0)),
    default: 3,
    allowed: '0 to disable, or a number of at least 1',
    help:
      'also assign a slice to an idle worker once it has taken X times as long as the median slice; the first result wins; 0 ' +
      'disables this',
    placeholder: 'X',
  }),
  replicas: field({
    ...wholeNumber(1),
    default: 2,
    help:
      'number of workers that should hold each shard of the training images, so that another can take over at once; copies are ' +
      'sent while the network is idle',
    placeholder: 'R',
  }),
};

export const configFields = { ...recipeFields, ...runFields };
export type ConfigKey = keyof typeof configFields;
/** A complete, valid configuration. `network` is a name with options, or a valid graph. */
export type Config = { readonly [Key in ConfigKey]: (typeof configFields)[Key]['default'] };
/** A configuration as specified by a caller: any subset of the fields. */
export type ConfigInput = { readonly [Key in ConfigKey]?: Config[Key] | undefined };
