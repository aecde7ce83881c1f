// Other versions of Node.js, on which the wasm engines must compute the same bits.
import path from 'node:path';
import { sayWhySkipped } from './why-skipped.js';

/** Returns the paths of the Node.js binaries in LOCKSTEP_OTHER_NODES, which are separated as in PATH. */
export function otherNodesFor(what: string): string[] {
  const paths = (process.env['LOCKSTEP_OTHER_NODES'] ?? '').split(path.delimiter).filter((program) => program !== '');
  if (paths.length === 0) {
    sayWhySkipped(`${what} with other versions of Node.js`, 'set LOCKSTEP_OTHER_NODES to their paths');
  }
  return paths;
}
