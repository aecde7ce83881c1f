// The layers of Keras that scale pixels, and those that augment images.
import { z } from 'zod';
import { badNode } from '../../shared/network/shapes.js';
import { layerClass } from './layer-class.js';

const factors = z.union([z.number(), z.array(z.number()).min(1)], { error: 'a number, or one for each channel' });

export const rescaling = layerClass({
  schema: z.object({ scale: factors.default(1), offset: factors.default(0) }),
  build(graph, layer, { scale, offset }) {
    graph.scalesInput = true;
    return graph.addNode(layer.name, { op: 'scale', inputs: layer.inputs, factor: scale, offset });
  },
});

/** Smallest divisor of Keras's Normalization layer. */
const smallestDivisor = 1e-7;

/** Numbers in a list, which may be in lists of one element: [[[120, 110, 100]]]. */
const statistics = z
  .unknown()
  .optional()
  .transform((value) => (typeof value === 'number' ? [value] : unwrapped(value)))
  .pipe(z.array(z.number()).min(1).max(3).nullable())
  .catch([])
  .refine((values) => values === null || values.length > 0, 'one number for each channel');

function unwrapped(value: unknown): unknown {
  let inner = value ?? null;
  while (Array.isArray(inner) && inner.length === 1 && Array.isArray(inner[0])) [inner] = inner as unknown[][];
  return inner;
}

/** Computes (x - mean) / √variance, with constants from the configuration, or adapted to images. */
export const normalization = layerClass({
  schema: z.object({
    axis: z
      .union([z.literal([-1, 3]), z.tuple([z.literal([-1, 3])]), z.null()], {
        error: '-1, for means that do not differ from pixel to pixel',
      })
      .default(-1),
    invert: z.literal(false, 'false').default(false),
    mean: statistics,
    variance: statistics,
  }),
  build(graph, layer, { axis, mean, variance }) {
    const channels = graph.shapeOf(layer.inputs[0]).at(-1)!;
    const stored = (name: string, index: number) => [
      ...graph.read({ layer, name, index, shape: axis === null ? [] : [channels] }),
    ];
    const means = mean ?? stored('mean', 0);
    const divisors = (variance ?? stored('variance', 1)).map((value) => Math.max(Math.sqrt(value), smallestDivisor));
    if (means.length !== divisors.length) {
      throw badNode(layer, `mean has ${means.length} values and variance ${divisors.length}: they must have as many`);
    }
    graph.scalesInput = true;
    return graph.addNode(layer.name, {
      op: 'scale',
      inputs: layer.inputs,
      factor: divisors.map((divisor) => 1 / divisor),
      offset: means.map((value, channel) => -value / divisors[channel]),
    });
  },
});

/** A layer that changes nothing outside of training. */
export const randomAugmentation = layerClass({
  schema: z.object({}),
  build(graph, { inputs }, _config) {
    graph.augments = true;
    return inputs[0];
  },
});
