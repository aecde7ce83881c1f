// Passes that pack and transform the weights for the kernels. They run once for each new set of weights.
import type { Kernels } from '../kernels.js';
import { groupsOf, type ConvolutionPlan, type PackedTaps } from '../memory/convolution-plan.js';
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
  const kernel = parameterOf(fixed, plan.layer.kernel).value;
  const bias = parameterOf(fixed, plan.layer.bias).value;
  const allTaps = [...(plan.forward ? [plan.forward] : []), ...plan.inputGradient.map(({ taps }) => taps)];
  return ({ scratch }) => {
    const { filters, inputDepth, outputDepth, paddedBias } = plan;
    if (paddedBias !== 0) kernels.padWeights(bias, 1, 1, plan.layer.filters, paddedBias, 1, outputDepth);
    if (filters) {
      const { forward, turned } = filters;
      kernels.transformFilters(kernel, inputDepth, outputDepth, 0, inputDepth, forward, turned, scratch);
    } else if (plan.method === 'depthwise') {
      for (const taps of allTaps) packDepthwise(kernels, plan, kernel, taps);
    } else {
      if (plan.method === 'expanded')
        kernels.expandGroups(kernel, ...groupsOf(plan), plan.expandedKernel, inputDepth, outputDepth);
      for (const taps of allTaps) packDirect(kernels, plan, kernel, taps, taps !== plan.forward);
    }
  };
}

/** Packs weights as [tap][channel]. */
function packDepthwise(kernels: Kernels, plan: ConvolutionPlan, kernel: number, { values, weights }: PackedTaps): void {
  const { layer, outputDepth } = plan;
  for (const [index, { element }] of values.entries()) {
    kernels.padWeights(kernel + 4 * element, 1, 1, layer.filters, weights + 4 * index * outputDepth, 1, outputDepth);
  }
}

function packDirect(
  kernels: Kernels,
  plan: ConvolutionPlan,
  kernel: number,
  { elements, tapCount, weights }: PackedTaps,
  isGradient: boolean,
): void {
  const { layer, groups, groupInputs, groupOutputs, outputDepth } = plan;
  const isExpanded = plan.method === 'expanded';
  const source = isExpanded ? plan.expandedKernel : kernel;
  const row = isExpanded ? outputDepth : layer.filters;
  const inputs = isExpanded ? groupInputs : layer.inputShapes[0][2] / groups;
  for (let group = 0; group < groups; group++) {
    const from = source + 4 * group * groupOutputs;
    const to = weights + 4 * group * tapCount * groupInputs * groupOutputs;
    if (isGradient) {
      kernels.packWeights(from, elements, tapCount, groupOutputs, groupOutputs, 1, groupInputs, row, to);
    } else {
      kernels.packWeights(from, elements, tapCount, inputs, groupInputs, row, groupOutputs, 1, to);
    }
  }
}

function transpositionOf(kernels: Kernels, fixed: FixedPlan, { layer, transposed }: DensePlan): Task {
  const [inputs] = layer.inputShapes[0];
  const kernel = parameterOf(fixed, layer.kernel).value;
  return () => kernels.transposeKernel(kernel, inputs, layer.units, transposed, depthOf(inputs));
}
