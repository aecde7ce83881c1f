// Writes a TensorFlow.js graph model for tf.loadGraphModel: model.json and a single binary file with the weights.
import { littleEndianBytes } from '../../shared/network/layout-hash.js';
import { lockstepVersion } from '../../shared/version.js';
import { describeModel, inputName, outputName, type TrainedModel } from './network.js';
import {
  graphInputShape,
  tensorFlowGraphOf,
  type Attribute,
  type DataType,
  type GraphNode,
} from './tensorflow-graph.js';

const modelFile = 'model.json';
const weightsFile = 'weights.bin';

const typeNames: Record<DataType, string> = { DT_FLOAT: 'float32', DT_INT32: 'int32' };

/** Returns the contents of the files by name. */
export function writeTfjsModel(model: TrainedModel): Record<string, Uint8Array> {
  const nodes = tensorFlowGraphOf(model);
  const constants = nodes.flatMap(({ name, value }) => (value === undefined ? [] : [{ name, ...value }]));
  const description = {
    format: 'graph-model',
    generatedBy: `lockstep ${lockstepVersion}`,
    convertedBy: null,
    signature: {
      inputs: { [inputName]: tensorInfo(inputName, graphInputShape(model.layout.data)) },
      outputs: { [outputName]: tensorInfo(outputName, [-1, model.layout.data.classCount]) },
    },
    userDefinedMetadata: describeModel(model),
    modelTopology: { node: nodes.map(nodeDef), versions: {} },
    weightsManifest: [
      {
        paths: [weightsFile],
        weights: constants.map(({ name, type, shape }) => ({ name, shape, dtype: typeNames[type] })),
      },
    ],
  };
  return {
    [modelFile]: Buffer.from(JSON.stringify(description)),
    [weightsFile]: Buffer.concat(constants.map(({ values }) => littleEndianBytes(values))),
  };
}

// The functions below encode TensorFlow messages in protobuf's JSON mapping: int64 as a string, bytes as base64.

function tensorInfo(node: string, shape: readonly number[]) {
  return { name: `${node}:0`, dtype: 'DT_FLOAT', tensorShape: tensorShape(shape) };
}

function tensorShape(shape: readonly number[]) {
  return { dim: shape.map((size) => ({ size: String(size) })) };
}

/** Encodes a node. Omits the value of a constant, because the weights contain it under the node's name. */
function nodeDef({ name, operation, inputs, attributes }: GraphNode) {
  const attr = Object.fromEntries(Object.entries(attributes).map(([key, attribute]) => [key, attrValue(attribute)]));
  return { name, op: operation, input: inputs, attr };
}

function attrValue(attribute: Attribute): object {
  if ('type' in attribute) return { type: attribute.type };
  if ('int' in attribute) return { i: String(attribute.int) };
  if ('float' in attribute) return { f: attribute.float };
  if ('bool' in attribute) return { b: attribute.bool };
  if ('string' in attribute) return { s: Buffer.from(attribute.string).toString('base64') };
  if ('ints' in attribute) return { list: { i: attribute.ints.map(String) } };
  return { shape: tensorShape(attribute.shape) };
}
