// Restores a network from a .keras file that `lockstep export` wrote. Its metadata contains the graph, and where each
// array is. Keras drops the metadata when it saves the model again; then build-graph.ts reads the Keras layers.
import { z } from 'zod';
import type { NetworkGraph } from '../../shared/network/graph.js';
import { maxNodes, parseGraph } from '../../shared/network/graph-schema.js';
import type { ArrayLayout, DataShape } from '../../shared/network/layout.js';
import { badModel, type VariableReader } from './model-file.js';

const extent = z.int().min(1).max(65_536);
const schema = z.object({
  weightsSha256: z.string(),
  lockstep: z.object({
    graph: z.unknown(),
    preprocessing: z.string(),
    data: z.object({
      height: extent,
      width: extent,
      channels: z.union([z.literal(1), z.literal(3)]),
      classCount: extent,
    }),
    arrays: z
      .array(
        z.object({
          name: z.string(),
          path: z.string().regex(/^layers\/[\w/]{1,500}\/vars\/\d{1,3}$/),
          reversed: z.boolean(),
        }),
      )
      .max(4 * maxNodes),
  }),
});

export interface ExportedNetwork {
  graph: NetworkGraph;
  data: DataShape;
  /** Name of the preprocessing that the network was trained with. */
  preprocessing: string;
  weightsSha256: string;
  /** Returns the values of an array. */
  read: (array: ArrayLayout, reader: VariableReader) => Float32Array;
}

/** Returns undefined if another program wrote the file. Throws `bad-data` if the metadata is malformed. */
export function exportedNetwork(metadata: unknown, location: string): ExportedNetwork | undefined {
  if (typeof metadata !== 'object' || metadata === null || !('lockstep' in metadata)) return undefined;
  const parsed = schema.safeParse(metadata);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw badModel(location, `its metadata.json is malformed: ${path.join('.')}: ${message}`);
  }
  const { weightsSha256, lockstep } = parsed.data;
  const places = new Map(lockstep.arrays.map((array) => [array.name, array]));
  return {
    graph: parseGraph(lockstep.graph, `the network in ${location}`),
    data: lockstep.data,
    preprocessing: lockstep.preprocessing,
    weightsSha256,
    read({ name, shape }, reader) {
      const place = places.get(name);
      if (place === undefined) throw badModel(location, `its metadata.json does not say where ${name} is`);
      const [group, index] = place.path.split('/vars/');
      const variable = { layer: { name, group }, name: 'array', index: Number(index), shape, isFlat: true } as const;
      const values = reader.read(variable);
      return place.reversed ? reversedColors(values, shape) : values;
    },
  };
}

/** Reverses the order of the three input channels of a kernel, [height, width, 3, out]. */
function reversedColors(kernel: Float32Array, [, , channels, filters]: readonly number[]): Float32Array {
  const reversed = new Float32Array(kernel.length);
  for (let from = 0; from < kernel.length; from += filters) {
    const channel = (from / filters) % channels;
    reversed.set(kernel.subarray(from, from + filters), from + (channels - 1 - 2 * channel) * filters);
  }
  return reversed;
}
