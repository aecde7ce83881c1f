// Batch norm, forward and backward.
import type { BatchNormLayer } from '../../../../shared/network/layers.js';
import { sizeOf } from '../../../../shared/network/shapes.js';
import {
  mergeStatisticsKernel,
  mergeSumsKernel,
  movingNormKernel,
  stripStatisticsKernel,
} from '../kernels/batch-norm.js';
import { columnSumKernel, partialSums, type ColumnSumShape, type PartialSums } from '../kernels/column-sums.js';
import type { Kernel } from '../wgsl/kernel.js';
import { productSums } from '../kernels/matrix-product.js';
import { Tensor } from '../memory/resources.js';
import { fitsEpilogue, type Lowering } from './lowering.js';
import { GammaGradient, Normalized, NormGradient } from '../values/normalized.js';
import { distinct, type Value } from '../values/value.js';

export function lowerBatchNorm(lowering: Lowering, layer: BatchNormLayer, x: Value): Value {
  const { fixed } = lowering.settings;
  const channels = layer.mean.size;
  const norm = new Tensor(6 * channels);
  const arrays = {
    gamma: lowering.weightsOrNull(layer.gamma),
    beta: lowering.weightsOrNull(layer.beta),
    epsilon: layer.epsilon,
    channels,
    norm,
  };
  const output = new Normalized([x], norm);
  if (lowering.mode === 'evaluate') {
    const moving = { mean: fixed.moving(layer.mean), variance: fixed.moving(layer.variance) };
    lowering.add(movingNormKernel(arrays, moving), 'forward');
    return output;
  }
  const columns = { pixels: sizeOf(layer.shape) / channels, channels };
  const statistics = { mean: fixed.statistics(layer.mean), variance: fixed.statistics(layer.variance) };
  let moments = lowering.moments.get(layer.inputs[0]);
  if (moments === undefined) {
    moments = partialSums(columns, 2);
    lowering.add(stripStatisticsKernel(columns, x, moments.partials), 'forward');
  }
  lowering.add(mergeStatisticsKernel(moments, arrays, statistics), 'forward');
  lowering.onBackward(layer, (gradient) => {
    const { own, sums } = sumGradients(lowering, columns, norm, gradient, x);
    const outputs = [lowering.gradientOf(layer.beta), lowering.gradientOf(layer.gamma)];
    lowering.add(mergeSumsKernel(sums, channels, outputs, norm), 'other gradients');
    lowering.contribute(layer, 0, () => new NormGradient([own, x], norm));
  });
  return output;
}

/** Sums the gradients, and their products with the normalized input, of each channel. Returns a loadable gradient, too. */
function sumGradients(
  lowering: Lowering,
  columns: ColumnSumShape,
  norm: Tensor,
  gradient: Value,
  x: Value,
): { own: Value; sums: PartialSums } {
  const { pending } = gradient;
  const termsOf = (value: Value) => [value, new GammaGradient([value, x], norm)];
  // The kernel of a product can sum as well, if it can bind two more arrays: the norm, and what receives the sums.
  if (pending?.canSum && fitsEpilogue(pending, [...gradient.resources, ...x.resources, norm], 1)) {
    const sums = productSums(columns.pixels, columns.channels);
    const own = pending.addWith(gradient, { terms: termsOf(pending), partials: sums.partials });
    return { own, sums };
  }
  const settled = lowering.settled(gradient);
  // Kernels that load the result bind four arrays at most, of which one is the norm.
  const isSmall = settled.resources.length === 1 || distinct([...settled.resources, ...x.resources]).length <= 3;
  const own = isSmall ? settled : lowering.stored(settled);
  const sums = partialSums(columns, 2);
  const define = (kernel: Kernel) => termsOf(own).map((term) => term.load(kernel, 1));
  lowering.add(columnSumKernel(columns, define, sums.partials), 'other gradients');
  return { own, sums };
}
