// The type in which the expensive operations compute. Weights, gradients, statistics and the loss are always float32.
import type { Precision } from '../../engine.js';
import { instructionSets, processorVendor } from '../../../shared/processor.js';
import type { GraphPass } from './tracing/graph.js';
import { lowerPrecision } from './tracing/lower-precision.js';
import { roundOperands } from './tracing/round-operands.js';

/**
 * What multiplies numbers of a 16-bit type: the device's own units for the type, or those for float32, in which the
 * products are exact. Depends only on parts of the fingerprint, so that equal fingerprints have equal graphs.
 */
export type ComputeUnits = 'native' | 'float32';

export interface Processor {
  vendor: string | undefined;
  instructionSets: readonly string[];
}

/** Whether bfloat16 is faster than float32. With Intel's AVX512_BF16 it takes 1.6 times as long. */
export function hasFastBfloat16({ vendor, instructionSets: sets }: Processor): boolean {
  return sets.includes('amx_bf16') || (vendor === 'AuthenticAMD' && sets.includes('avx512_bf16'));
}

/** GPUs have units for both types. On CPUs TensorFlow has no vector kernels for float16. */
export function computeUnitsOf(
  precision: Precision,
  isGpu: boolean,
  processor: Processor = thisProcessor(),
): ComputeUnits {
  if (isGpu || (precision === 'bfloat16' && hasFastBfloat16(processor))) return 'native';
  return 'float32';
}

function thisProcessor(): Processor {
  return { vendor: processorVendor(), instructionSets: instructionSets(['amx_bf16', 'avx512_bf16']) ?? [] };
}

/** Passes that rewrite a float32 graph to compute in this precision. */
export function precisionPasses(precision: Precision, units: ComputeUnits): GraphPass[] {
  if (precision === 'float32') return [];
  return [units === 'native' ? lowerPrecision(precision) : roundOperands(precision)];
}

/**
 * Factor of the loss in the backward pass. bfloat16 has the range of float32, but float16 ranges from 6e-8 to 65504.
 * The gradients of an image's loss are at most 1 at the logits and are divided by the number of pixels in pooling.
 */
export function lossScaleOf(precision: Precision): number {
  return precision === 'float16' ? 1024 : 1;
}
