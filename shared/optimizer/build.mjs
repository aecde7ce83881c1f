// Compiles the SGD update to dist/shared/optimizer/update.wasm.
import { fileURLToPath } from 'node:url';
import { compileAssembly } from '../assembly/compile.mjs';

await compileAssembly({
  entry: 'update.ts',
  sourceFolder: fileURLToPath(new URL('assembly', import.meta.url)),
  output: fileURLToPath(new URL('../../dist/shared/optimizer/update.wasm', import.meta.url)),
});
