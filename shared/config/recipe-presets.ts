// Named recipes: values for the configuration fields that are not given explicitly.

export const recipeNames = ['tutorial', 'paper', 'fast', 'speedrun'] as const;
export type RecipeName = (typeof recipeNames)[number];

/** Each recipe's values that differ from the defaults. They may depend on other fields. */
export const recipePresets = {
  tutorial: () => ({}),
  /**
   * He et al. 2016, section 4.2. Networks with 110 or more layers warm up at a learning rate of 0.01 "until the
   * training error is below 80% (about 400 iterations)".
   */
  paper: ({ depth }) => ({
    preprocessing: 'per-pixel-mean' as const,
    convBias: false,
    weightDecay: 0.0001,
    ...(depth >= 110 ? { warmupSteps: 400, warmupRate: 0.01 } : {}),
  }),
  /**
   * 30 epochs, with the settings that achieved the best validation accuracy of those compared in
   * docs/benchmarks/fast-recipe.md.
   */
  fast: () => ({
    epochs: 30,
    schedule: 'one-cycle' as const,
    learningRate: 0.2,
    nesterov: true,
    weightDecay: 0.0005,
    labelSmoothing: 0.1,
    flip: 'alternating' as const,
    cropPadding: 'reflect' as const,
    shortcut: 'projection' as const,
    bnEpsilon: 0.00001,
  }),
  /**
   * airbench94 (Jordan 2024, arXiv 2404.00498), with batch norm over slices of 256 images: as much computation as 30
   * epochs of ResNet-20. Its learning rate and its weight decay are for sums over 1024 images and a momentum without the
   * factor 1 / (1 − momentum): 11.5 / (1 + 1 / (1 − 0.85)) = 1.5 and 0.0153 / 11.5 = 0.00133 for means.
   */
  speedrun: () => ({
    network: 'speedrun',
    epochs: 10,
    batchSize: 1024,
    schedule: 'triangular' as const,
    learningRate: 1.5,
    momentum: 0.85,
    nesterov: true,
    weightDecay: 0.00133,
    lookAhead: 5,
    labelSmoothing: 0.2,
    bnMomentum: 0.6,
    preprocessing: 'standardize' as const,
    flip: 'alternating' as const,
    cropMargin: 2,
    cropPadding: 'reflect' as const,
    testTimeAugmentation: 'flip-and-shift' as const,
  }),
} satisfies Record<RecipeName, (values: { depth: number }) => object>;
