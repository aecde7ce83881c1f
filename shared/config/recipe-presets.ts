// Named recipes: values for the configuration fields that are not given explicitly.

export const recipeNames = ['tutorial', 'paper', 'fast'] as const;
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
} satisfies Record<RecipeName, (values: { depth: number }) => object>;
