// Locates build outputs that are loaded at run time: compiled kernels and the entry points of threads.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { LockstepError } from './errors.js';

/** Root of the package or, if this file is part of a build, the dist folder. */
const root = new URL('..', import.meta.url);

/**
 * Returns the URL of a built file: next to the importing file, or in the corresponding folder in dist if the importing
 * file is a source file. Throws `not-built` if the file does not exist.
 * @param importer `import.meta.url` of the importing file
 */
export function builtFile(name: string, importer: string): URL {
  const sibling = new URL(name, importer);
  const fromRoot = path.relative(fileURLToPath(root), fileURLToPath(sibling));
  const inDist = new URL(path.posix.join('dist', fromRoot.replaceAll(path.sep, '/')), root);
  const found = [sibling, inDist].find((url) => existsSync(fileURLToPath(url)));
  if (found === undefined) throw new LockstepError('not-built', `${fromRoot} is missing: run \`npm run build\``);
  return found;
}
