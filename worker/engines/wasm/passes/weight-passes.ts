// Passes that pack and transform the weights for the kernels. They run once for each new set of weights.
import type { Kernels } from '../kernels.js';
import type { ConvolutionPlan } from '../memory/convolution-plan.js';
import { parameterOf, type DensePlan, type FixedPlan } from '../memory/fixed-plan.js';
import { depthOf, type ThreadMemory } from '../memory/tensor.js';
import type { Pass } from './pass.js';

export function weightPasses(kernels: Kernels, plan: FixedPlan): Pass[] {
  const tasks = [
    ...[...plan.convolutions.values()].map((convolution) => packingOf(kernels, plan, convolution)),
    ...[...plan.dense.values()].map((dense) => transpositionOf(kernels, plan, dense)),
  ];
  return [
    {
      tileCount: () => tasks.length,
      run: (tile, _imageCount, memory, onStage) => {
        tasks[tile](memory);
        onStage?.({ phase: 'weights', group: 'all' });
      },
    },
  ];
}

type Task = (memory: ThreadMemory) => void;

function packingOf(kernels: Kernels, fixed: FixedPlan, plan: ConvolutionPlan): Task {
  const { layer, inputs, inputDepth, outputs, outputDepth, winograd, forward, inputGradient } = plan;
  const kernel = parameterOf(fixed, layer.kernel).value;
  return ({ scratch }) => {
    if (winograd) kernels.transformFilters(kernel, inputs, 0, inputs, winograd.forward, winograd.turned, scratch);
    if (forward) {
      const { elements, tapCount, weights } = forward;
      kernels.packWeights(kernel, elements, tapCount, inputs, inputDepth, outputs, outputs, 1, weights);
    }
    for (const { taps } of inputGradient) {
      const { elements, tapCount, weights } = taps;
      kernels.packWeights(kernel, elements, tapCount, outputs, outputDepth, 1, inputs, outputs, weights);
    }
  };
}

function transpositionOf(kernels: Kernels, fixed: FixedPlan, { layer, transposed }: DensePlan): Task {
  const [inputs] = layer.inputShapes[0];
  const kernel = parameterOf(fixed, layer.kernel).value;
  return () => kernels.transposeKernel(kernel, inputs, layer.units, transposed, depthOf(inputs));
}
