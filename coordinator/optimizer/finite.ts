// Checks for NaN and infinite values in vector instructions.
import type { UpdateKernels } from '../../shared/optimizer/momentum-update.js';
import { updateModule } from './update-module.js';

const pageBytes = 65_536;
/** Number of values to check at once. They fit into the fastest cache. */
const blockSize = 4096;

let checker: { kernels: UpdateKernels; block: Float32Array } | undefined;

/** Returns whether all values are finite. Copies them into the kernel's memory, because gradients arrive in other memory. */
export function areFinite(values: Float32Array): boolean {
  const { kernels, block } = (checker ??= createChecker());
  for (let first = 0; first < values.length; first += blockSize) {
    const part = values.subarray(first, first + blockSize);
    block.set(part);
    if (kernels.areFinite(block.byteOffset, part.length) === 0) return false;
  }
  return true;
}

function createChecker(): { kernels: UpdateKernels; block: Float32Array } {
  // The first page is reserved for data of the compiled kernels.
  const memory = new WebAssembly.Memory({ initial: 2 });
  const { exports } = new WebAssembly.Instance(updateModule(), { env: { memory } });
  return {
    kernels: exports as unknown as UpdateKernels,
    block: new Float32Array(memory.buffer, pageBytes, blockSize),
  };
}
