// Schemas for the settings of Keras layers. Error messages continue "it must be".
import { z } from 'zod';
import type { activations, Initializer, Pair, WeightName, WeightSettings } from '../../shared/network/graph.js';

const whole = (minimum: number, maximum: number) =>
  z.int(`a whole number from ${minimum} to ${maximum}`).min(minimum).max(maximum);
export const width = whole(1, 65_536);
export const flag = z.boolean('true or false');
export const number = z.number('a number');

const extent = whole(1, 64);
export const pair: z.ZodType<Pair> = z.union(
  [extent.transform((size) => [size, size] as const), z.tuple([extent, extent])],
  {
    error: 'a whole number from 1 to 64, or two',
  },
);

export const padding = z.enum(['valid', 'same'], 'valid or same').default('valid');
export const channelsLast = z.literal('channels_last', 'channels_last').nullable().default('channels_last');
export const noDilation = z.union([z.literal(1), z.tuple([z.literal(1), z.literal(1)])], { error: '1' }).default(1);

export type Activation = (typeof activations)[number];

const activationNames: Readonly<Record<string, Activation | null>> = {
  linear: null,
  relu: 'relu',
  relu6: 'relu6',
  gelu: 'gelu',
  silu: 'silu',
  swish: 'silu',
  sigmoid: 'sigmoid',
};

/** Returns the name of an activation, which may be wrapped in an object. */
export function activationName(value: unknown): unknown {
  if (value === null || value === undefined) return 'linear';
  const wrapped = z.object({ class_name: z.string(), config: z.unknown() }).safeParse(value).data;
  if (wrapped === undefined) return value;
  return wrapped.class_name === 'function' ? wrapped.config : wrapped.class_name;
}

/** An activation of this project; null for none. */
export const activation = z
  .unknown()
  .optional()
  .transform(activationName)
  .pipe(z.enum(Object.keys(activationNames), Object.keys(activationNames).join(', ')))
  .transform((name) => activationNames[name]);

const variance = z.object({
  scale: z.number(),
  mode: z.string(),
  distribution: z.string(),
});

/** Returns the initializer of this project that an initializer of Keras stands for; undefined for all others. */
function initializerOf(value: unknown): Initializer | undefined {
  const { data } = z.object({ class_name: z.string(), config: z.unknown() }).safeParse(value);
  switch (data?.class_name) {
    case 'Zeros':
      return 'zeros';
    case 'Ones':
      return 'ones';
    case 'HeNormal':
      return 'heNormal';
    case 'GlorotUniform':
      return 'glorotUniform';
    case 'VarianceScaling': {
      const { scale, mode, distribution } = variance.safeParse(data.config).data ?? {};
      if (scale === 2 && mode === 'fan_in' && /^(truncated_)?normal$/.test(distribution ?? '')) return 'heNormal';
      if (scale === 1 && mode === 'fan_avg' && distribution === 'uniform') return 'glorotUniform';
      return undefined;
    }
    default:
      return undefined;
  }
}

const initializer = z.unknown().optional().transform(initializerOf);

/** Settings of layers with weights. */
export const weightSettings = {
  trainable: flag.default(true),
  kernel_initializer: initializer,
  depthwise_initializer: initializer,
  pointwise_initializer: initializer,
  bias_initializer: initializer,
  gamma_initializer: initializer,
  beta_initializer: initializer,
};

/** Returns the settings of a node's arrays; nothing if they are the defaults. */
export function settingsOf(
  trainable: boolean,
  initializers: Partial<Record<WeightName, Initializer | undefined>>,
): { weights?: Partial<Record<WeightName, WeightSettings>> } {
  const defaults = { kernel: 'heNormal', bias: 'zeros', gamma: 'ones', beta: 'zeros' };
  const weights = Object.entries(initializers).flatMap(([name, initializer]): [string, WeightSettings][] => {
    const settings = {
      ...(trainable ? {} : { trainable }),
      ...(initializer === undefined || initializer === defaults[name as WeightName] ? {} : { initializer }),
    };
    return Object.keys(settings).length === 0 ? [] : [[name, settings]];
  });
  return weights.length === 0 ? {} : { weights: Object.fromEntries(weights) };
}
