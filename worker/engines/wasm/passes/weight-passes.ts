// Passes that pack and transform the weights for the kernels. They run once for each new set of weights.
import type { Kernels } from '../kernels.js';
import { convolutionsOf, type FixedPlan } from '../memory/fixed-plan.js';
import type { Pass } from './pass.js';

export function weightPasses(kernels: Kernels, plan: FixedPlan): Pass[] {
  const convolutions = convolutionsOf(plan);
  const run: Pass['run'] = (tile, { scratch }, onStage) => {
    const { layer, depth, kernel, winograd, forward, inputGradient } = convolutions[tile];
    const { inputChannels: inputs, outputChannels: outputs } = layer;
    if (winograd)
      kernels.transformFilters(kernel, inputs, inputs, 0, inputs, winograd.forward, winograd.turned, scratch);
    if (forward) {
      const { elements, tapCount, weights } = forward;
      kernels.packWeights(kernel, elements, tapCount, inputs, depth, outputs, outputs, 1, weights);
    }
    for (const { taps } of inputGradient) {
      const { elements, tapCount, weights } = taps;
      kernels.packWeights(kernel, elements, tapCount, outputs, outputs, 1, inputs, outputs, weights);
    }
    onStage?.({ phase: 'weights', group: 'all' });
  };
  return [{ tiles: convolutions.length, run }];
}
