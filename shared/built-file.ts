// Locates files that the build writes and that are loaded at run time: compiled kernels, and the programs of threads.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { LockstepError } from './errors.js';

/** The root of the package or of its dist folder, whichever this file is in. */
const root = new URL('..', import.meta.url);

/**
 * Returns the location of a built file: next to the importing file, or at the corresponding place in dist if that one
 * is a source file. Throws `not-built`.
 * @param importer import.meta.url of the importing file
 */
export function builtFile(name: string, importer: string): URL {
  const sibling = new URL(name, importer);
  const fromRoot = path.relative(fileURLToPath(root), fileURLToPath(sibling));
  const inDist = new URL(path.posix.join('dist', fromRoot.replaceAll(path.sep, '/')), root);
  const found = [sibling, inDist].find((url) => existsSync(fileURLToPath(url)));
  if (found === undefined) throw new LockstepError('not-built', `${fromRoot} is missing: run \`npm run build\``);
  return found;
}
