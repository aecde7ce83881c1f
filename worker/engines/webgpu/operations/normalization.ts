// Batch norm, forward and backward.
import type { BatchNormLayer } from '../../../../shared/network/layers.js';
import { sizeOf } from '../../../../shared/network/shapes.js';
import {
  mergeStatisticsKernel,
  mergeSumsKernel,
  movingNormKernel,
  stripStatisticsKernel,
} from '../kernels/batch-norm.js';
import { columnSumKernel, partialSums } from '../kernels/column-sums.js';
import { Tensor } from '../memory/resources.js';
import type { Lowering } from './lowering.js';
import { GammaGradient, Normalized, NormGradient } from './normalized.js';
import type { Value } from './value.js';

export function lowerBatchNorm(lowering: Lowering, layer: BatchNormLayer, x: Value): Value {
  const { fixed } = lowering.settings;
  const channels = layer.mean.size;
  const norm = new Tensor(4 * channels);
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
  const strips = partialSums(columns, 2);
  const statistics = { mean: fixed.statistics(layer.mean), variance: fixed.statistics(layer.variance) };
  lowering.add(stripStatisticsKernel(columns, x, strips.partials), 'forward');
  lowering.add(mergeStatisticsKernel(strips, arrays, statistics), 'forward');
  lowering.onBackward(layer, (gradient) => {
    // The kernels that load the result bind four arrays at most, and two of them are factors.
    const arraysOfInput = x.resources.length + 2;
    const known = gradient.resources.length + arraysOfInput > 4 && gradient.resources.length > 1;
    const own = known ? lowering.stored(gradient) : gradient;
    const sums = partialSums(columns, 2);
    const means = new Tensor(2 * channels);
    const terms = [own, new GammaGradient([own, x], norm)];
    const define = (kernel: Parameters<Value['load']>[0]) => terms.map((term) => term.load(kernel, 1));
    lowering.add(columnSumKernel(columns, define, sums.partials), 'other gradients');
    const outputs = [lowering.gradientOf(layer.beta), lowering.gradientOf(layer.gamma)];
    lowering.add(mergeSumsKernel(sums, channels, outputs, means), 'other gradients');
    lowering.contribute(layer, 0, () => new NormGradient(own, x, norm, means));
  });
  return output;
}
