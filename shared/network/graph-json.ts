// Graphs as JSON text in UTF-8, and their hash.
import { LockstepError, messageOf } from '../errors.js';
import type { NetworkGraph } from './graph.js';
import { sha256Of } from '../sha256.js';
import { parseGraph } from './graph-schema.js';

/** Maximum size of a graph as JSON, in bytes. A ResNet with 2,000 layers and projections takes 1 MB. */
export const maxGraphBytes = 1 << 22;

/** Returns the bytes of a graph. Throws `bad-config` if there are too many. */
export function encodeGraph(graph: NetworkGraph): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify(graph));
  if (bytes.length <= maxGraphBytes) return bytes;
  throw new LockstepError(
    'bad-config',
    `the network ${graph.name} takes ${bytes.length} bytes as JSON: it must take at most ${maxGraphBytes}, so use fewer ` +
      'nodes or shorter names',
  );
}

/**
 * Returns the valid graph in these bytes.
 * @param source where the bytes come from, for error messages: for example the name of a file
 * Throws `bad-config`, naming the node and the attribute.
 */
export function decodeGraph(bytes: Uint8Array, source: string): NetworkGraph {
  if (bytes.length > maxGraphBytes) {
    throw new LockstepError('bad-config', `${source} has ${bytes.length} bytes: it must have at most ${maxGraphBytes}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    const problem = messageOf(cause).replaceAll(/\s+/g, ' ').slice(0, 200);
    throw new LockstepError('bad-config', `${source} is not valid JSON: ${problem}`, { cause });
  }
  return parseGraph(value, source);
}

/**
 * Returns the SHA-256, in hex, of a valid graph, whatever the order of its attributes. It identifies what the network computes, whereas the layout's hash
 * identifies only its arrays.
 */
export function graphSha256(graph: NetworkGraph): string {
  const sorted = JSON.stringify(graph, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return sha256Of(new TextEncoder().encode(sorted));
}
