// Compiles the optimizer's kernels to dist/coordinator/optimizer/update.wasm.
import { fileURLToPath } from 'node:url';
import { compileAssembly } from '../../shared/assembly/compile.mjs';

await compileAssembly({
  entry: 'update.ts',
  sourceFolder: fileURLToPath(new URL('assembly', import.meta.url)),
  output: fileURLToPath(new URL('../../dist/coordinator/optimizer/update.wasm', import.meta.url)),
});
