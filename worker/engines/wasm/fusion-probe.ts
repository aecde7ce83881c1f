// Finds out whether the kernels' multiply-add is fused here. WebAssembly leaves that to the implementation: it may also
// round the product before the addition, and does so on CPUs without such an instruction. Does not depend on Node.
import { instantiateKernels } from './kernels.js';

/** The convolution kernels compute tiles of 4 pixels × 8 output channels, and have 4 or more input channels. */
const pixels = 4;
const outputs = 8;
const depth = 4;
const pixelBytes = 4 * depth;
const targetPixelBytes = 4 * outputs;

// Addresses of the tensors, in a memory of one page.
const taps = 1024;
const source = 2048;
const weights = 4096;
const bias = 8192;
const target = 16_384;

/**
 * Returns whether a convolution with these kernels rounds each product and sum together, in every lane of every
 * accumulator.
 * @param memory a memory of at least one page that nothing else uses; shared if the kernels are built for that
 */
export function fusesMultiplyAdd(module: WebAssembly.Module, memory: WebAssembly.Memory): boolean {
  const floats = (address: number, length: number) => new Float32Array(memory.buffer, address, length);
  // With odd i and j, the product (1 + i/4096) × (1 + j/4096) has one bit too many for a float32. After the addition of
  // -1 it would fit. The other input channels are 0.
  const factor = (index: number) => 1 + (2 * index + 1) / 4096;
  for (let pixel = 0; pixel < pixels; pixel++) floats(source, pixels * depth)[pixel * depth] = factor(pixel);
  for (let output = 0; output < outputs; output++) floats(weights, outputs)[output] = factor(output);
  floats(bias, outputs).fill(-1);
  // One tap at offset 0, and one image whose rows all have the same addresses.
  const from = [source, 0, 0, pixelBytes] as const;
  const to = [target, 0, 0, targetPixelBytes] as const;
  const { convolve } = instantiateKernels(module, memory);
  convolve(...from, depth, taps, 1, weights, bias, false, ...to, outputs, pixels, pixels, 0, 1);
  return floats(target, pixels * outputs).every(
    (sum, index) => sum === factor(Math.floor(index / outputs)) * factor(index % outputs) - 1,
  );
}
