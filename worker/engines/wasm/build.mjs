// Compiles the AssemblyScript kernels to dist/worker/engines/wasm: for each engine, for unshared and for shared memory.
import { fileURLToPath } from 'node:url';
import { compileAssembly } from '../../../shared/assembly/compile.mjs';
import { unrolledKernels } from './templates/unrolled-kernels.mjs';

const shared = ['--enable', 'threads', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'];
/** With relaxed SIMD, the convolution kernels use fused multiply-add (see templates/products.mjs). */
const fused = ['--enable', 'relaxed-simd'];

const modules = {
  'kernels.wasm': [],
  'kernels-shared.wasm': shared,
  'kernels-fma.wasm': fused,
  'kernels-fma-shared.wasm': [...fused, ...shared],
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
