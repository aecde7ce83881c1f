import type { Graph } from '../../worker/engines/tensorflow/tracing/graph.js';

/** Returns the number of nodes for each operation. */
export function countOperations({ nodes }: Graph): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { operation } of nodes) counts.set(operation, (counts.get(operation) ?? 0) + 1);
  return counts;
}
