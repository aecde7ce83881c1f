// Reads TensorFlow.js layers models: a model.json with the configuration and the list of weights, and shards with their
// values beside it.
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { systemCodeOf } from '../../shared/errors.js';
import { parseJson } from '../../shared/json.js';
import type { Shape } from '../../shared/network/layers.js';
import { describeShape, sameShape, sizeOf } from '../../shared/network/shapes.js';
import {
  badModel,
  describeVariable,
  maxLayers,
  maxWeightsBytes,
  type ModelFile,
  type Variable,
  type VariableReader,
} from './model-file.js';

const manifest = z.array(
  z.object({
    paths: z.array(z.string().regex(/^[^/\\]{1,255}$/)).max(maxLayers),
    weights: z
      .array(
        z.object({
          name: z.string(),
          shape: z.array(z.int().min(0)).max(8),
          dtype: z.string(),
          quantization: z.unknown().optional(),
        }),
      )
      .max(10 * maxLayers),
  }),
);
const modelJson = z.object({
  format: z.string().optional(),
  modelTopology: z.looseObject({ model_config: z.unknown().optional() }),
  weightsManifest: manifest.optional(),
});

export function readTfjsFile(location: string, bytes: Uint8Array): ModelFile {
  const parsed = modelJson.safeParse(parseJson(Buffer.from(bytes).toString()));
  if (!parsed.success) {
    throw badModel(
      location,
      'it is not the model.json of a TensorFlow.js layers model, with modelTopology and weightsManifest',
    );
  }
  const { format, modelTopology, weightsManifest = [] } = parsed.data;
  if (format !== undefined && format !== 'layers-model') {
    throw badModel(location, `its format is ${format}: only layers-model is supported, not TensorFlow graphs`);
  }
  return {
    config: modelTopology.model_config ?? modelTopology,
    metadata: undefined,
    openVariables: async () => openShards(location, weightsManifest),
  };
}

interface Weight {
  name: string;
  shape: Shape;
  values: Float32Array;
}

async function openShards(location: string, groups: z.output<typeof manifest>): Promise<VariableReader> {
  const weights: Weight[] = [];
  let total = 0;
  for (const group of groups) {
    const shards: Buffer[] = [];
    for (const name of group.paths) {
      const shard = path.join(path.dirname(location), name);
      total += await sizeOfShard(location, shard);
      if (total > maxWeightsBytes) {
        throw badModel(location, `its weights have more than ${maxWeightsBytes} bytes, which are not supported`);
      }
      shards.push(await readFile(shard));
    }
    const bytes = Buffer.concat(shards);
    let offset = 0;
    for (const { name, shape, dtype, quantization } of group.weights) {
      if (dtype !== 'float32' || quantization !== undefined) {
        const type = quantization === undefined ? dtype : 'quantized';
        throw badModel(location, `its weight ${name} is ${type}: only float32 is supported`);
      }
      const end = offset + 4 * sizeOf(shape);
      if (end > bytes.length) {
        throw badModel(location, `its weight ${name} ends at byte ${end} of ${bytes.length}: a shard is truncated`);
      }
      // Copies the values, because they may be unaligned.
      weights.push({ name, shape, values: new Float32Array(new Uint8Array(bytes.subarray(offset, end)).buffer) });
      offset = end;
    }
  }
  return { read: (variable) => findWeight(location, weights, variable), close: () => undefined };
}

async function sizeOfShard(location: string, shard: string): Promise<number> {
  try {
    return (await stat(shard)).size;
  } catch (cause) {
    throw badModel(location, `its weights are in ${shard}, which cannot be read (${systemCodeOf(cause)})`, cause);
  }
}

/**
 * Returns the values of a variable. Names in the manifest are those of the layer and the variable, `conv1/kernel`, which
 * some converters prefix with the names of the models that contain the layer.
 */
function findWeight(location: string, weights: readonly Weight[], variable: Variable): Float32Array {
  const { layer, name, shape } = variable;
  const full = `${layer.name}/${name}`;
  const own = `${layer.name.slice(layer.name.lastIndexOf('/') + 1)}/${name}`;
  const exact = weights.filter((weight) => weight.name === full);
  const found = exact.length > 0 ? exact : weights.filter((weight) => `/${weight.name}`.endsWith(`/${own}`));
  if (found.length !== 1) {
    const problem = found.length === 0 ? 'no weight' : `${found.length} weights`;
    throw badModel(location, `its weightsManifest has ${problem} with the name ${own}, ${describeVariable(variable)}`);
  }
  const [weight] = found;
  if (sameShape(weight.shape, shape)) return weight.values;
  throw badModel(
    location,
    `${describeVariable(variable)} has the shape ${describeShape(weight.shape)} in weightsManifest, but the configuration ` +
      `says ${describeShape(shape)}`,
  );
}
