// Writes a TensorFlow SavedModel: a single file with the weights as graph constants and one serving signature.
import { littleEndianBytes } from '../../shared/network/layout-hash.js';
import { inputName, outputName, type TrainedModel } from './network.js';
import {
  graphInputShape,
  tensorFlowGraphOf,
  type Attribute,
  type ConstantValue,
  type DataType,
  type GraphNode,
} from './tensorflow-graph.js';
import { encodeSavedModel } from './tensorflow-messages.js';

/** A GraphDef version that TensorFlow 2 supports: see tensorflow/core/public/version.h. */
const graphVersion = 1000;
/** Default tag and signature name in TensorFlow, TensorFlow Serving and saved_model_cli. */
const tag = 'serve';
const signatureName = 'serving_default';

/** Name of the file in a SavedModel folder. */
export const savedModelFile = 'saved_model.pb';

export function writeSavedModel(model: TrainedModel): Uint8Array {
  const signature = {
    inputs: { [inputName]: tensorInfo(inputName, graphInputShape(model.layout.data)) },
    outputs: { [outputName]: tensorInfo(outputName, [-1, model.layout.data.classCount]) },
    method_name: 'tensorflow/serving/predict',
  };
  return encodeSavedModel({
    saved_model_schema_version: 1,
    meta_graphs: [
      {
        meta_info_def: { tags: [tag] },
        graph_def: { node: tensorFlowGraphOf(model).map(nodeDef), versions: { producer: graphVersion } },
        signature_def: { [signatureName]: signature },
      },
    ],
  });
}

function tensorInfo(node: string, shape: readonly number[]) {
  const dtype: DataType = 'DT_FLOAT';
  return { name: `${node}:0`, dtype, tensor_shape: tensorShape(shape) };
}

function tensorShape(shape: readonly number[]) {
  return { dim: shape.map((size) => ({ size })) };
}

function nodeDef({ name, operation, inputs, attributes, value }: GraphNode) {
  const attr: Record<string, object> = {};
  for (const [key, attribute] of Object.entries(attributes)) attr[key] = attrValue(attribute);
  if (value !== undefined) attr['value'] = { tensor: tensorProto(value) };
  return { name, op: operation, input: inputs, attr };
}

function attrValue(attribute: Attribute): object {
  if ('type' in attribute) return { type: attribute.type };
  if ('int' in attribute) return { i: attribute.int };
  if ('float' in attribute) return { f: attribute.float };
  if ('bool' in attribute) return { b: attribute.bool };
  if ('string' in attribute) return { s: Buffer.from(attribute.string) };
  if ('ints' in attribute) return { list: { i: attribute.ints } };
  return { shape: tensorShape(attribute.shape) };
}

function tensorProto({ type, shape, values }: ConstantValue) {
  return { dtype: type, tensor_shape: tensorShape(shape), tensor_content: littleEndianBytes(values) };
}
