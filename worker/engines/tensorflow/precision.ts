// Data type of the expensive operations. Weights, gradients, statistics and the loss are always float32.
import type { Precision } from '../../engine.js';
import { instructionSets, processorVendor } from '../../../shared/processor.js';
import type { GraphPass } from './tracing/graph.js';
import { lowerPrecision } from './tracing/lower-precision.js';
import { roundOperands } from './tracing/round-operands.js';

/**
 * Hardware that multiplies 16-bit numbers: the device's units for the 16-bit type, or its float32 units, in which the
 * products are exact. Depends only on parts of the fingerprint, so equal fingerprints imply equal graphs.
 */
export type ComputeUnits = 'native' | 'float32';

export interface Processor {
  vendor: string | undefined;
  instructionSets: readonly string[];
}

/**
 * Returns whether bfloat16 is faster than float32. On Intel CPUs, bfloat16 computed with AVX512_BF16 takes 1.6 times as
 * long as float32.
 */
export function hasFastBfloat16({ vendor, instructionSets: sets }: Processor): boolean {
  return sets.includes('amx_bf16') || (vendor === 'AuthenticAMD' && sets.includes('avx512_bf16'));
}

/**
 * Chooses the compute units for a precision. GPUs have units for both 16-bit types. On CPUs, TensorFlow has no vector
 * kernels for float16.
 */
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

/** Returns the passes that rewrite a float32 graph to this precision. */
export function precisionPasses(precision: Precision, units: ComputeUnits): GraphPass[] {
  if (precision === 'float32') return [];
  return [units === 'native' ? lowerPrecision(precision) : roundOperands(precision)];
}

/**
 * Returns the factor by which the loss is multiplied before the backward pass, so that small gradients do not
 * underflow. bfloat16 has the range of float32, but positive float16 values range only from 6e-8 to 65504. The gradient
 * of an image's loss is at most 1 at each logit, and pooling divides it by the number of pixels.
 */
export function lossScaleOf(precision: Precision): number {
  return precision === 'float16' ? 1024 : 1;
}
