import { describe, expect, it } from 'vitest';
import { configFields } from '../../../shared/config/config-fields.js';
import { kebabCase, resolveConfig, totalStepsOf, type Config, type ConfigKey } from '../../../shared/config/config.js';
import { recipeNames } from '../../../shared/config/recipe-presets.js';

describe('the defaults', () => {
  it('are the tutorial recipe', () => {
    expect(resolveConfig({})).toEqual({
      recipe: 'tutorial',
      seed: 0,
      slices: 4,
      batchSize: 128,
      steps: null,
      epochs: null,
      network: 'resnet',
      freeze: [],
      depth: 20,
      initialFilters: 16,
      shortcut: 'identity',
      convBias: true,
      bnEpsilon: 0.001,
      bnMomentum: 0.99,
      initialWeightsSha256: null,
      validationSplit: 0.1,
      preprocessing: 'imagenet',
      pixelMean: null,
      pixelStd: null,
      augment: true,
      flip: 'random',
      cropPadding: 'zeros',
      cropMargin: 4,
      resizedCrop: null,
      brightnessJitter: 0,
      contrastJitter: 0,
      saturationJitter: 0,
      cutout: 0,
      augmentValidation: false,
      testTimeAugmentation: 'none',
      labelSmoothing: 0,
      learningRate: 0.1,
      scaleLearningRate: null,
      schedule: 'piecewise',
      learningRateBoundaries: [32_000, 48_000],
      warmupSteps: null,
      warmupRate: null,
      momentum: 0.9,
      nesterov: false,
      lookAhead: null,
      weightDecay: 0,
      encoding: 'float32',
      localSteps: 1,
      outerLearningRate: 0.7,
      outerMomentum: 0.9,
      data: null,
      imageSize: null,
      fit: 'crop',
      labels: 'fine',
      runDir: null,
      initialWeights: null,
      checkpointEvery: null,
      keepCheckpoints: null,
      tensorboard: true,
      engine: 'auto',
      fingerprint: null,
      exact: false,
      heartbeatInterval: 2,
      heartbeatTimeout: 10,
      stragglerFactor: 3,
      replicas: 2,
    });
  });

  it('apply to fields that are undefined', () => {
    expect(resolveConfig({ depth: undefined, seed: 3 })).toMatchObject({ depth: 20, seed: 3 });
  });

  it('pass their own schemas', () => {
    for (const [key, { schema, default: value }] of Object.entries(configFields)) {
      expect([key, schema.safeParse(value).success]).toEqual([key, true]);
    }
  });
});

describe('a configuration', () => {
  it('is frozen, including its lists', () => {
    const config = resolveConfig({});
    expect(() => Object.assign(config, { depth: 32 })).toThrow(TypeError);
    expect(() => config.learningRateBoundaries.push(1)).toThrow(TypeError);
  });

  it('is unchanged by a round trip through JSON', () => {
    const config = resolveConfig({ seed: 2 ** 53 - 1, epochs: 3, shortcut: 'projection', data: 'images' });
    expect(resolveConfig(JSON.parse(JSON.stringify(config)) as Record<string, unknown>)).toEqual(config);
  });

  it.each<Partial<Config>>([
    { depth: 8 },
    { depth: 110 },
    { slices: 1, batchSize: 1 },
    { slices: 128 },
    { validationSplit: 0 },
    { learningRateBoundaries: [] },
    { learningRateBoundaries: [0, 1] },
    { momentum: 0 },
    { bnMomentum: 1 },
    { steps: 1 },
    { schedule: 'cosine', warmupSteps: 400, warmupRate: 0.01 },
    { scaleLearningRate: 128 },
  ])('may have %o', (input) => {
    expect(resolveConfig(input)).toMatchObject(input);
  });
});

describe('a bad value', () => {
  const cases: [ConfigKey, unknown, shown: string][] = [
    ['recipe', 'slow', '"slow"'],
    ['seed', -1, '-1'],
    ['seed', 1.5, '1.5'],
    ['seed', 2 ** 53, '9007199254740992'],
    ['seed', '0', '"0"'],
    ['slices', 0, '0'],
    ['slices', 4097, '4097'],
    ['batchSize', 0, '0'],
    ['batchSize', null, 'null'],
    ['steps', 0, '0'],
    ['epochs', 'one', '"one"'],
    ['network', 5, '5'],
    ['freeze', 'stem/*', '"stem/*"'],
    ['freeze', [''], '[""]'],
    ['depth', 21, '21'],
    ['depth', 2, '2'],
    ['initialFilters', 6, '6'],
    ['shortcut', 'none', '"none"'],
    ['convBias', 'yes', '"yes"'],
    ['bnEpsilon', 0, '0'],
    ['bnMomentum', 1.01, '1.01'],
    ['initialWeightsSha256', 'abc', '"abc"'],
    ['validationSplit', 1, '1'],
    ['preprocessing', 'minmax', '"minmax"'],
    ['pixelMean', [1, 2, 3, 4], '[1,2,3,4]'],
    ['pixelStd', [62.9, 0, 66.7], '[62.9,0,66.7]'],
    ['augment', 1, '1'],
    ['flip', 'never', '"never"'],
    ['cropPadding', 4, '4'],
    ['cropMargin', 16, '16'],
    ['resizedCrop', 0, '0'],
    ['brightnessJitter', 1.1, '1.1'],
    ['contrastJitter', -0.1, '-0.1'],
    ['saturationJitter', 2, '2'],
    ['cutout', 225, '225'],
    ['augmentValidation', 0, '0'],
    ['testTimeAugmentation', 'shift', '"shift"'],
    ['learningRate', 0, '0'],
    ['learningRate', Number.POSITIVE_INFINITY, 'Infinity'],
    ['learningRate', Number.NaN, 'NaN'],
    ['learningRateBoundaries', [5, 5], '[5,5]'],
    ['learningRateBoundaries', [9, 5], '[9,5]'],
    ['learningRateBoundaries', 5, '5'],
    ['labelSmoothing', 1, '1'],
    ['scaleLearningRate', 0, '0'],
    ['schedule', 'linear', '"linear"'],
    ['warmupSteps', -1, '-1'],
    ['warmupRate', 0, '0'],
    ['momentum', 1, '1'],
    ['nesterov', 'true', '"true"'],
    ['lookAhead', 0, '0'],
    ['weightDecay', -0.1, '-0.1'],
    ['encoding', 'int4', '"int4"'],
    ['localSteps', 0, '0'],
    ['localSteps', 10_001, '10001'],
    ['outerLearningRate', 0, '0'],
    ['outerMomentum', 1, '1'],
    ['data', '', '""'],
    ['imageSize', 256, '256'],
    ['fit', 'pad', '"pad"'],
    ['labels', 'super', '"super"'],
    ['runDir', 7, '7'],
    ['initialWeights', '', '""'],
    ['checkpointEvery', 0, '0'],
    ['keepCheckpoints', 0, '0'],
    ['tensorboard', 'yes', '"yes"'],
    ['engine', 'keras', '"keras"'],
    ['fingerprint', '', '""'],
    ['exact', null, 'null'],
    ['heartbeatInterval', 0, '0'],
    ['heartbeatTimeout', '10', '"10"'],
    ['stragglerFactor', 0.5, '0.5'],
    ['replicas', 0, '0'],
  ];

  it.each(cases)('of %s (%j) is refused with the field, the value and the allowed values', (key, value, shown) => {
    expect(() => resolveConfig({ [key]: value })).toThrow(
      expect.objectContaining({
        code: 'bad-config',
        message: `\`${key}\` is ${shown}: it must be ${configFields[key].allowed}`,
      }),
    );
  });

  it('is tested for every field', () => {
    expect(new Set(cases.map(([key]) => key))).toEqual(new Set(Object.keys(configFields)));
  });

  it('is reported under the name that the caller uses', () => {
    expect(() => resolveConfig({ batchSize: 0 }, (key) => `--${kebabCase(key)}`)).toThrow(
      '--batch-size is 0: it must be a whole number from 1 to 1,048,576',
    );
  });
});

describe('a configuration is refused if it contains', () => {
  it('`slices` that do not divide the batch size', () => {
    expect(() => resolveConfig({ slices: 3 })).toThrow(
      expect.objectContaining({
        code: 'bad-config',
        message: '`slices` is 3: it must be a whole number that divides `batchSize`, which is 128',
      }),
    );
  });

  it('a `heartbeatTimeout` no longer than the `heartbeatInterval`', () => {
    expect(() => resolveConfig({ heartbeatTimeout: 2 })).toThrow(
      expect.objectContaining({
        code: 'bad-config',
        message: '`heartbeatTimeout` is 2: it must be greater than `heartbeatInterval`, which is 2',
      }),
    );
  });

  it.each([{ warmupRate: 0.01 }, { warmupRate: 0.01, warmupSteps: 400, schedule: 'one-cycle' }])(
    'a `warmupRate` without a warm-up, or with the one-cycle schedule: %o',
    (input) => {
      expect(() => resolveConfig(input)).toThrow('`warmupRate` is 0.01: it must be omitted');
    },
  );

  it.each(['pixelMean', 'pixelStd'])('`%s` without standardization', (key) => {
    expect(() => resolveConfig({ [key]: [127.5] })).toThrow(
      expect.objectContaining({
        code: 'bad-config',
        message: `\`${key}\` is [127.5]: it must be omitted unless \`preprocessing\` is standardize`,
      }),
    );
    expect(resolveConfig({ preprocessing: 'standardize', [key]: [127.5] })).toMatchObject({ [key]: [127.5] });
  });

  it('test-time augmentation of augmented validation images', () => {
    expect(() => resolveConfig({ augmentValidation: true, testTimeAugmentation: 'flip' })).toThrow(
      '`testTimeAugmentation` is "flip": it must be none with `augmentValidation`',
    );
  });

  it('both `steps` and `epochs`', () => {
    expect(() => resolveConfig({ steps: 5, epochs: 2 })).toThrow(
      expect.objectContaining({ code: 'bad-config', message: '`steps` is 5 and `epochs` is 2: give only one of them' }),
    );
  });
});

describe('the network', () => {
  const graph = {
    name: 'tiny',
    nodes: [
      { name: 'flat', op: 'flatten', inputs: ['input'] },
      { name: 'dense', op: 'dense', inputs: ['flat'], units: 'classes' },
    ],
  };

  it('is a name with options in order, or a graph with its defaults', () => {
    const { network } = resolveConfig({ network: 'wide-resnet:width=2,depth=10' });
    expect(network).toBe('wide-resnet:depth=10,width=2');
    expect(resolveConfig({ network: graph }).network).toMatchObject({
      channelOrder: 'rgb',
      nodes: [{}, { bias: true }],
    });
  });

  it('as a graph is unchanged by a round trip through JSON', () => {
    const config = resolveConfig({ network: graph, freeze: ['dense/*'] });
    expect(JSON.stringify(resolveConfig(JSON.parse(JSON.stringify(config)) as Record<string, unknown>))).toBe(
      JSON.stringify(config),
    );
  });

  it.each<[Partial<Config>, RegExp]>([
    [{ depth: 32 }, /^`depth` is 32, but it belongs to the network resnet, and `network` is mlp: omit `depth`, or use/],
    [{ bnEpsilon: 0.01 }, /^`bnEpsilon` is 0\.01, but/],
    [{ freeze: ['stem/*'] }, /^`freeze` has the pattern "stem\/\*", which matches no array of the network mlp/],
  ])('other than resnet is refused together with %o', (options, message) => {
    expect(() => resolveConfig({ network: 'mlp', ...options })).toThrow(
      expect.objectContaining({ code: 'bad-config', message: expect.stringMatching(message) as string }),
    );
  });

  it('other than resnet has no options of resnet from a recipe', () => {
    const config = resolveConfig({ network: 'mlp', recipe: 'fast' });
    expect(config).toMatchObject({ nesterov: true, shortcut: 'identity', bnEpsilon: 0.001 });
    expect(resolveConfig({ ...config })).toEqual(config);
  });

  it('is refused with the node if it is invalid', () => {
    const [flat, dense] = graph.nodes;
    expect(() => resolveConfig({ network: { ...graph, nodes: [flat, { ...dense, units: 0 }] } })).toThrow(
      '`network` is not a valid network: node "dense": units is 0',
    );
  });
});

describe('a recipe', () => {
  it('sets fields that are not given', () => {
    expect(resolveConfig({ recipe: 'paper' })).toMatchObject({ weightDecay: 0.0001, convBias: false, depth: 20 });
    expect(resolveConfig({ recipe: 'paper', weightDecay: 0 })).toMatchObject({ weightDecay: 0, convBias: false });
  });

  it('paper uses a warm-up for 110 or more layers, about as long as in the paper', () => {
    expect(resolveConfig({ recipe: 'paper', depth: 56 })).toMatchObject({ warmupSteps: null, warmupRate: null });
    expect(resolveConfig({ recipe: 'paper', depth: 110 })).toMatchObject({ warmupSteps: 400, warmupRate: 0.01 });
  });

  it.each(recipeNames)('%s has valid values, which stay the same when they are resolved again', (recipe) => {
    for (const depth of [20, 110]) {
      const config = resolveConfig({ recipe, ...(recipe === 'speedrun' ? {} : { depth }) });
      expect(resolveConfig(JSON.parse(JSON.stringify(config)) as Record<string, unknown>)).toEqual(config);
    }
  });

  it('speedrun sets its own network, batch size, optimizer and augmentation', () => {
    // Jordan 2024: 11.5 / (1 + 1 / 0.15) = 1.5 and 0.0153 / 11.5 = 0.00133 for the mean of a batch.
    const expected = { network: 'speedrun', batchSize: 1024, learningRate: 1.5, weightDecay: 0.00133, lookAhead: 5 };
    expect(resolveConfig({ recipe: 'speedrun' })).toMatchObject(expected);
    expect(resolveConfig({ recipe: 'speedrun', network: 'mlp', batchSize: 64 })).toMatchObject({
      ...expected,
      network: 'mlp',
      batchSize: 64,
    });
  });

  it('fast has the learning rate, label smoothing and augmentation that were measured', () => {
    const chosen = { schedule: 'one-cycle', learningRate: 0.2, labelSmoothing: 0.1, batchSize: 128, slices: 4 };
    const augmentation = { flip: 'alternating', cropPadding: 'reflect' };
    expect(resolveConfig({ recipe: 'fast' })).toMatchObject({ ...chosen, ...augmentation });
    expect(resolveConfig({})).toMatchObject({ flip: 'random', cropPadding: 'zeros' });
  });

  it('does not set `steps` or `epochs` if either is given', () => {
    expect(resolveConfig({ recipe: 'fast' })).toMatchObject({ epochs: 30, steps: null });
    expect(resolveConfig({ recipe: 'fast', epochs: 2 })).toMatchObject({ epochs: 2, steps: null });
    expect(resolveConfig({ recipe: 'fast', steps: 7 })).toMatchObject({ epochs: null, steps: 7 });
  });
});

describe('an unknown key', () => {
  it.each(['batchsize', 'batch-size', 'toString'])('%s is refused with a list of the keys', (key) => {
    expect(() => resolveConfig({ [key]: 1 })).toThrow(
      expect.objectContaining({
        code: 'bad-config',
        message: expect.stringMatching(
          new RegExp(
            `^unknown key "${key}"( \\(did you mean batchSize\\?\\))?: the keys are recipe, seed, slices, batchSize, `,
          ),
        ),
      }),
    );
  });
});

describe('totalStepsOf', () => {
  it('is the number of steps, the number of epochs times their steps, or 64,000', () => {
    expect(totalStepsOf(resolveConfig({ steps: 7 }), 351)).toBe(7);
    expect(totalStepsOf(resolveConfig({ epochs: 2 }), 351)).toBe(702);
    expect(totalStepsOf(resolveConfig({}), 351)).toBe(64_000);
  });
});
