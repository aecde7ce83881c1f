// Compiles the kernel that rounds gradients to dist/worker/encoding/rounding.wasm.
import { fileURLToPath } from 'node:url';
import { compileAssembly } from '../../shared/assembly/compile.mjs';
import { threefry } from './templates/threefry.mjs';

await compileAssembly({
  entry: 'rounding.ts',
  sourceFolder: fileURLToPath(new URL('assembly', import.meta.url)),
  output: fileURLToPath(new URL('../../dist/worker/encoding/rounding.wasm', import.meta.url)),
  generated: { 'threefry.ts': threefry },
});
