// Imports a network from a Keras or TensorFlow.js model.
import { readFile, stat } from 'node:fs/promises';
import { LockstepError, systemCodeOf } from '../../shared/errors.js';
import type { NetworkGraph } from '../../shared/network/graph.js';
import { layoutNetwork, type ArrayLayout, type DataShape } from '../../shared/network/layout.js';
import { weightsSha256 } from '../../shared/network/layout-hash.js';
import { buildGraph } from './build-graph.js';
import { exportedNetwork, type ExportedNetwork } from './exported-by-lockstep.js';
import { readKerasFile } from './keras-file.js';
import { flattenModel } from './keras-model.js';
import { badModel, maxConfigBytes, maxWeightsBytes, type VariableReader } from './model-file.js';
import { readTfjsFile } from './tfjs-file.js';

export interface ImportedNetwork {
  /** The layers. */
  graph: NetworkGraph;
  /** Shape of the images that the model takes, and the number of its outputs. */
  data: DataShape;
  /** Weights as a flat vector, in the order of the layout: the nodes of the graph, then kernel, bias, gamma, beta. */
  weights: Float32Array;
  /** Moving mean and moving variance of each batch norm, as a flat vector. */
  movingStatistics: Float32Array;
  /** Hash of both, as a run prints it. */
  weightsSha256: string;
  /**
   * Preprocessing to train with: the one of the run that was exported, or `none` if the model scales its input itself.
   * Null if the file does not say how to preprocess images.
   */
  preprocessing: string | null;
  /** Momenta of the batch norms, without repetitions. A graph does not contain them: they are an option of a run. */
  bnMomenta: readonly number[];
  /** Whether the model contains random augmentation, which the graph does not. */
  augments: boolean;
}

/**
 * Reads a `.keras` file of Keras 3, or the `model.json` of a TensorFlow.js layers model with its shards beside it. The
 * model must be Sequential or Functional, with one input, [height, width, channels], and one output, [classes]. Reads the
 * weights too, and drops a softmax at the end, because graphs end with the logits.
 *
 * Throws `bad-data` if the file cannot be read, is damaged or too large, or has layers that are not supported, which the
 * message lists; and `bad-config`, naming the layer, if layers do not fit together.
 */
export async function importNetwork(location: string): Promise<ImportedNetwork> {
  const file = await readModel(location);
  const reader = await file.openVariables();
  try {
    const exported = exportedNetwork(file.metadata, location);
    return exported === undefined
      ? importKeras(file.config, reader, location)
      : importExported(exported, reader, location);
  } finally {
    reader.close();
  }
}

async function readModel(location: string) {
  const isTfjs = location.endsWith('.json');
  const limit = isTfjs ? maxConfigBytes : maxWeightsBytes + 2 * maxConfigBytes;
  let bytes: Uint8Array;
  try {
    const { size } = await stat(location);
    if (size > limit) throw badModel(location, `it has ${size} bytes: at most ${limit} are supported`);
    bytes = await readFile(location);
  } catch (cause) {
    if (cause instanceof LockstepError) throw cause;
    const code = systemCodeOf(cause);
    const problem = code === 'ENOENT' ? 'it does not exist' : `it cannot be read (${code})`;
    throw badModel(location, `${problem}: specify a .keras file, or the model.json of a TensorFlow.js model`, cause);
  }
  return isTfjs ? readTfjsFile(location, bytes) : readKerasFile(location, bytes);
}

function importKeras(config: unknown, reader: VariableReader, location: string): ImportedNetwork {
  const model = flattenModel(config, location);
  const { graph, classCount, variables, momenta, scalesInput, augments } = buildGraph(model, reader, location);
  const [height, width, channels] = model.imageShape;
  const data = { height, width, channels: channels as 1 | 3, classCount };
  return {
    ...collect(graph, data, ({ name }) => reader.read(variables.get(name)!), location),
    preprocessing: scalesInput ? 'none' : null,
    bnMomenta: [...momenta],
    augments,
  };
}

function importExported(exported: ExportedNetwork, reader: VariableReader, location: string): ImportedNetwork {
  const { graph, data, preprocessing } = exported;
  const network = collect(graph, data, (array) => exported.read(array, reader), location);
  if (network.weightsSha256 !== exported.weightsSha256) {
    throw badModel(
      location,
      `its weights have the SHA-256 ${network.weightsSha256}, but those of the export had ${exported.weightsSha256}: the file ` +
        'was changed, so export it again',
    );
  }
  return { ...network, preprocessing, bnMomenta: [], augments: false };
}

/** Maximum number of weights and moving statistics: as many as fit into the largest file. */
const maxElements = maxWeightsBytes / 4;

/** Lays out the network, and collects the values of its arrays. */
function collect(
  graph: NetworkGraph,
  data: DataShape,
  read: (array: ArrayLayout) => Float32Array,
  location: string,
): Pick<ImportedNetwork, 'graph' | 'data' | 'weights' | 'movingStatistics' | 'weightsSha256'> {
  const layout = layoutNetwork(graph, data);
  const count = layout.weightsSize + layout.statisticsSize;
  if (count > maxElements) throw badModel(location, `it has ${count} weights: at most ${maxElements} are supported`);
  const vectorOf = (arrays: readonly ArrayLayout[], size: number) => {
    const vector = new Float32Array(size);
    for (const array of arrays) {
      const values = read(array);
      if (!values.every(Number.isFinite)) throw badModel(location, `${array.name} has values that are not finite`);
      vector.set(values, array.offset);
    }
    return vector;
  };
  const weights = vectorOf(layout.weights, layout.weightsSize);
  const movingStatistics = vectorOf(layout.statistics, layout.statisticsSize);
  return { graph, data, weights, movingStatistics, weightsSha256: weightsSha256(weights, movingStatistics) };
}
