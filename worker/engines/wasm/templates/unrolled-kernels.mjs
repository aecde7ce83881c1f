// Generates AssemblyScript code for the innermost loops, which are unrolled. AssemblyScript itself cannot unroll them:
// an inlined function cannot update its caller's locals, so accumulators would not work, and its arguments are not
// constants, so they cannot be the constant offsets of loads and stores.
import { activationKernels } from './activations.mjs';
import { batchNormKernels } from './batch-norm.mjs';
import { depthwiseKernels } from './depthwise.mjs';
import { denseKernels } from './dense.mjs';
import { productKernels } from './products.mjs';
import { winogradKernels } from './winograd.mjs';

export const unrolledKernels = [
  ...activationKernels,
  ...batchNormKernels,
  ...denseKernels,
  ...depthwiseKernels,
  ...productKernels,
  ...winogradKernels,
].join('\n');
