// Compiles the AssemblyScript kernels to dist/worker/engines/wasm, for unshared and for shared memory.
import { fileURLToPath } from 'node:url';
import { compileAssembly } from '../../../shared/assembly/compile.mjs';
import { unrolledKernels } from './templates/unrolled-kernels.mjs';

const variants = {
  'kernels.wasm': [],
  'kernels-shared.wasm': ['--enable', 'threads', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
};

for (const [name, options] of Object.entries(variants)) {
  await compileAssembly({
    entry: 'index.ts',
    sourceFolder: fileURLToPath(new URL('assembly', import.meta.url)),
    output: fileURLToPath(new URL(`../../../dist/worker/engines/wasm/${name}`, import.meta.url)),
    options,
    generated: { 'unrolled.ts': unrolledKernels },
  });
}
