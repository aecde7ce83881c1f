// Kernels that write each element once.
import type { Stored, Value } from '../values/value.js';
import { sizeOf } from '../../../../shared/network/shapes.js';
import { Extent } from '../memory/resources.js';
import { remainder } from '../wgsl/integers.js';
import { Kernel, typeOf, widthFor } from '../wgsl/kernel.js';

const threads = 256;

/** Returns a kernel that computes a value and stores it. */
export function storeKernel(value: Value, target: Stored, depths: readonly number[] = []): Kernel {
  const width = widthFor(value.channels, ...depths);
  const elements = sizeOf(value.shape) / width;
  const kernel = new Kernel({ groups: new Extent(elements, { per: threads }), threads });
  const load = value.load(kernel, width);
  kernel.main(`  let i = group * ${threads}u + lane;
  if (i >= params.images * ${elements}u) { return; }
  ${kernel.write(target.resource, typeOf(width))}[i] = ${load}(i, ${remainder('i', value.channels / width)});`);
  return kernel;
}
