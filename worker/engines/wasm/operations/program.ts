// The passes of a training step or an evaluation, and the tensors that they use.
import type { Kernels } from '../kernels.js';
import type { FixedPlan } from '../memory/fixed-plan.js';
import type { Tensor } from '../memory/tensor.js';
import { PassBuilder, type SumsMemory } from '../passes/pass-builder.js';
import type { Pass } from '../passes/pass.js';
import { buildOperations, type Operations } from './build.js';
import { Gradients } from './gradients.js';
import type { ImageArrays, Mode, PassOptions } from './operation.js';

export interface Program {
  passes: readonly Pass[];
  tensors: readonly Tensor[];
  /** Number of images in a block, for each pass over images; undefined for other passes. */
  blockImages: readonly (number | undefined)[];
  /** The logits, which stay in memory after the last pass. */
  logits: Tensor;
  dropouts: Operations['dropouts'];
}

interface ProgramOptions extends PassOptions {
  kernels: Kernels;
  fixed: FixedPlan;
  arrays: ImageArrays;
  sums: SumsMemory;
}

export function buildProgram(mode: Mode, { sums, kernels, ...options }: ProgramOptions): Program {
  const passes = new PassBuilder(sums);
  const gradients = new Gradients(kernels, passes);
  const operations = buildOperations({ ...options, kernels, mode, passes, gradients });
  const { inOrder, loss, dropouts } = operations;
  for (const operation of inOrder) operation.forward();
  loss.logits.isKept = true;
  if (mode === 'train') {
    for (const operation of inOrder.toReversed()) {
      if (operation.output.needsGradient) operation.backward();
    }
  }
  passes.close();
  return {
    passes: passes.passes,
    tensors: [...passes.tensors],
    blockImages: passes.blockImages,
    logits: loss.logits,
    dropouts,
  };
}
