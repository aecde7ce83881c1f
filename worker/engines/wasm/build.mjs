// Compiles the AssemblyScript kernels of each engine to dist/worker/engines/wasm, for one thread (see shared-memory.ts).
import { fileURLToPath } from 'node:url';
import { compileAssembly } from '../../../shared/assembly/compile.mjs';
import { unrolledKernels } from './templates/unrolled-kernels.mjs';

/** With relaxed SIMD, the convolution kernels use fused multiply-add (see templates/products.mjs). */
const fused = ['--enable', 'relaxed-simd'];

const modules = {
  'kernels.wasm': [],
  'kernels-fma.wasm': fused,
};

for (const [name, options] of Object.entries(modules)) {
  await compileAssembly({
    entry: 'index.ts',
    sourceFolder: fileURLToPath(new URL('assembly', import.meta.url)),
    output: fileURLToPath(new URL(`../../../dist/worker/engines/wasm/${name}`, import.meta.url)),
    options,
    generated: { 'unrolled.ts': unrolledKernels },
  });
}
