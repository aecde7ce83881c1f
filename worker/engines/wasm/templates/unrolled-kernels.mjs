// Generates the AssemblyScript of the innermost loops. They are unrolled, and AssemblyScript cannot do that, neither
// for accumulators (an inlined function cannot update its caller's locals) nor for the constant offsets of loads and
// stores (an inlined function's arguments are not constants).
import { batchNormKernels } from './batch-norm.mjs';
import { productKernels } from './products.mjs';
import { winogradKernels } from './winograd.mjs';

export const unrolledKernels = [...batchNormKernels, ...productKernels, ...winogradKernels].join('\n');
