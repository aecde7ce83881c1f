// In which type the costly operations compute. Weights, gradients, statistics and the loss are float32 in all of them.
import type { Precision } from '../../engine.js';
import { instructionSets, processorVendor } from '../../../shared/processor.js';
import type { GraphPass } from './tracing/graph.js';
import { lowerPrecision } from './tracing/lower-precision.js';
import { roundOperands } from './tracing/round-operands.js';

/**
 * What multiplies numbers of a short type: units of the device for them, or those for float32, which give the same
 * products exactly. A function of what the fingerprint names, so that equal fingerprints have equal graphs.
 */
export type ShortUnits = 'native' | 'float32';

/** The instruction sets that matter here, and who made the processor. */
export interface Processor {
  vendor: string | undefined;
  instructionSets: readonly string[];
}

/**
 * Whether the processor multiplies bfloat16 faster than float32: with AMX, or AMD's AVX512_BF16. Intel's AVX512_BF16 alone
 * takes 1.75 times as long as float32: see docs/benchmarks/precision.md.
 */
export function hasFastBfloat16({ vendor, instructionSets: sets }: Processor): boolean {
  return sets.includes('amx_bf16') || (vendor === 'AuthenticAMD' && sets.includes('avx512_bf16'));
}

/** GPUs have units for both types; TensorFlow has no vector kernels for float16 on a CPU. */
export function shortUnitsOf(precision: Precision, isGpu: boolean, processor: Processor = thisProcessor()): ShortUnits {
  if (isGpu || (precision === 'bfloat16' && hasFastBfloat16(processor))) return 'native';
  return 'float32';
}

function thisProcessor(): Processor {
  return { vendor: processorVendor(), instructionSets: instructionSets(['amx_bf16', 'avx512_bf16']) ?? [] };
}

export function lowerTo(precision: Precision, units: ShortUnits): GraphPass[] {
  if (precision === 'float32') return [];
  return [units === 'native' ? lowerPrecision(precision) : roundOperands(precision)];
}

/**
 * What the loss is multiplied with for the backward pass. bfloat16 reaches as far down as float32 does. float16 ends at
 * 6e-8, and at 65504: the gradients of an image's loss are at most 1 at the logits, and fall by the size of the picture.
 */
export function lossScaleOf(precision: Precision): number {
  return precision === 'float16' ? 1024 : 1;
}
