// Named recipes: values for those fields of the configuration that are not given themselves. That they are values of those
// fields is held where the table of fields is.

export const recipeNames = ['tutorial', 'paper', 'fast'] as const;
export type RecipeName = (typeof recipeNames)[number];

/** What each recipe sets beside the defaults, given the other values. */
export const recipePresets = {
  tutorial: () => ({}),
  /** He et al. 2016, section 4.2. From 110 layers on it warms up at 0.01 "until the training error is below 80% (about 400 iterations)". */
  paper: ({ depth }) => ({
    preprocessing: 'per-pixel-mean' as const,
    convBias: false,
    weightDecay: 0.0001,
    ...(depth >= 110 ? { warmupSteps: 400, warmupRate: 0.01 } : {}),
  }),
  /** 30 epochs; of the settings that were tried, the best by validation: see docs/benchmarks/fast-recipe.md. */
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
} satisfies Record<RecipeName, (values: { depth: number }) => object>;
