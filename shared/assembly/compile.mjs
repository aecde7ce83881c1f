// Compiles AssemblyScript to WebAssembly modules. Used only by the build, never at run time.
import * as asc from 'assemblyscript/asc';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const common = ['-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--importMemory'];

/**
 * @param {object} module
 * @param {string} module.entry file name of the source in `sourceFolder`
 * @param {string} module.sourceFolder
 * @param {string} module.output path of the file to write
 * @param {string[]} [module.options] compiler options in addition to the common ones
 * @param {Record<string, string>} [module.generated] generated sources by file name, which exist only in memory
 */
export async function compileAssembly({ entry, sourceFolder, output, options = [], generated = {} }) {
  await mkdir(join(output, '..'), { recursive: true });
  const stderr = asc.createMemoryStream();
  const { error } = await asc.main([entry, ...common, ...options, '--outFile', output], {
    stderr,
    readFile: async (name) => generated[name] ?? readFile(join(sourceFolder, name), 'utf8').catch(() => null),
    writeFile: async (_, contents) => writeFile(output, contents),
    listFiles: () => [],
  });
  if (!error) return;
  process.stderr.write(stderr.toString());
  process.exit(1);
}
