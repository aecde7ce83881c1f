// The constants of a model: values of bytes, means of pixels, and factors of scale layers.
import { hasPixelMeans, inputTransformOf } from '../../../shared/dataset/input-transform.js';
import type { Preprocessing } from '../../../shared/dataset/image-batch.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import type { InputTables } from './kernels/ends.js';
import type { FixedPlan } from './memory/fixed-plan.js';

export interface ConstantTables {
  readonly tables: InputTables;
  /** Returns the constants, once all of them have a place. */
  readonly values: () => Float32Array<ArrayBuffer>;
}

/** Adds the tables for preprocessing to the plan of the constants. */
export function planTables(
  { constants, scales }: FixedPlan,
  { graph, data }: ModelLayout,
  preprocessing: Preprocessing,
): ConstantTables {
  const { channels } = data;
  const pixels = data.height * data.width;
  const transform = inputTransformOf(preprocessing, channels, graph.channelOrder);
  const { subtract, divide, channelOrder: planes } = transform;
  const isPerPixel = hasPixelMeans(transform);
  const table = constants.region('values of bytes', 256 * channels);
  const means = isPerPixel ? constants.region('pixel means', pixels * channels) : null;
  const factors = constants.region('pixel factors', channels);
  const values = (): Float32Array<ArrayBuffer> => {
    const all = new Float32Array(constants.size);
    for (const [channel, plane] of planes.entries()) {
      for (let byte = 0; byte < 256; byte++) {
        const value = isPerPixel ? byte : Math.fround(byte - subtract[plane]) / divide[plane];
        all[table.offset + 256 * channel + byte] = value;
      }
      // The factor is a constant, because drivers round divisions differently.
      all[factors.offset + channel] = 1 / divide[plane];
      if (means === null) continue;
      for (let pixel = 0; pixel < pixels; pixel++) {
        all[means.offset + pixel * channels + channel] = subtract[pixel * channels + plane];
      }
    }
    for (const { layer, factors: own, offsets } of scales.values()) {
      for (let channel = 0; channel < layer.shape.at(-1)!; channel++) {
        all[own.offset + channel] = layer.factor[channel % layer.factor.length];
        all[offsets.offset + channel] = layer.offset[channel % layer.offset.length];
      }
    }
    return all;
  };
  return { tables: { planes, values: table, means, factors }, values };
}
