// Compiles the AssemblyScript kernels to dist/worker/engines/wasm: kernels.wasm, and the same for a memory that threads share.
import * as asc from 'assemblyscript/asc';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unrolledKernels } from './unrolled-kernels.mjs';

const sourceFolder = join(dirname(fileURLToPath(import.meta.url)), 'assembly');
const outputFolder = join(sourceFolder, '../../../../dist/worker/engines/wasm');

const common = ['index.ts', '-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--importMemory'];
const variants = [
  { file: 'kernels.wasm', options: [] },
  {
    file: 'kernels-shared.wasm',
    options: ['--enable', 'threads', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
  },
];

await mkdir(outputFolder, { recursive: true });
for (const { file, options } of variants) {
  const stderr = asc.createMemoryStream();
  const { error } = await asc.main([...common, ...options, '--outFile', file], {
    stderr,
    // the generated source exists in memory only
    readFile: async (name) =>
      name === 'unrolled.ts' ? unrolledKernels : readFile(join(sourceFolder, name), 'utf8').catch(() => null),
    writeFile: async (name, contents) => writeFile(join(outputFolder, name), contents),
    listFiles: () => [],
  });
  if (error) {
    process.stderr.write(stderr.toString());
    process.exit(1);
  }
}
