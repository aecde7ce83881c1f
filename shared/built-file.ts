// Where the build put a file that a program loads at run time: compiled kernels, the program of a thread.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { LockstepError } from './errors.js';

/** This package, or dist in it: whichever this file lies in. */
const root = new URL('..', import.meta.url);

/**
 * What the build wrote beside the asking file, or, where that runs from its source, to its place in dist.
 * @param importer the asking file's import.meta.url
 * Throws `not-built`.
 */
export function builtFile(name: string, importer: string): URL {
  const beside = new URL(name, importer);
  const fromRoot = path.relative(fileURLToPath(root), fileURLToPath(beside));
  const inDist = new URL(path.posix.join('dist', fromRoot.replaceAll(path.sep, '/')), root);
  const found = [beside, inDist].find((url) => existsSync(fileURLToPath(url)));
  if (found === undefined) throw new LockstepError('not-built', `${fromRoot} is not built: run npm run build`);
  return found;
}
