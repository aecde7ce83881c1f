// Compiles AssemblyScript to modules of WebAssembly. Part of the build; nothing of it runs later.
import * as asc from 'assemblyscript/asc';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const common = ['-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--importMemory'];

/**
 * @param {object} module
 * @param {string} module.entry the source's name in its folder
 * @param {string} module.sourceFolder
 * @param {string} module.output the file to be written
 * @param {string[]} [module.options] beside those that all have
 * @param {Record<string, string>} [module.generated] sources by name that are in no file
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
