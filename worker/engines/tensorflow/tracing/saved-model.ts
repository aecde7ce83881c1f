// Writes a graph as a TensorFlow SavedModel: one file, no variables, one signature.
import type { ProtobufMessage, TensorFlowMessages } from '../runtime.js';
import type { Attribute, ConstantValues, Graph, GraphNode, GraphTensor } from './graph.js';

/** GraphDef version that TensorFlow 2 can read: see tensorflow/core/public/version.h. */
const graphVersion = 1000;
export const savedModelTag = 'serve';
export const savedModelFile = 'saved_model.pb';

export interface SavedGraph {
  bytes: Uint8Array;
  /** Names of the graph's inputs, for feeding them to TensorFlow. */
  inputNames: readonly string[];
  /** Names of the graph's output tensors, in the order of `graph.outputs`. */
  outputNames: readonly string[];
}

export function writeSavedModel(messages: TensorFlowMessages, graph: Graph): SavedGraph {
  return new Writer(messages).write(graph);
}

class Writer {
  readonly #messages: TensorFlowMessages;
  readonly #names = new Map<GraphNode, string>();

  constructor(messages: TensorFlowMessages) {
    this.#messages = messages;
  }

  write(graph: Graph): SavedGraph {
    // Node names contain the operation, so that TensorFlow's error messages show it.
    for (const [index, node] of graph.nodes.entries()) this.#names.set(node, `${node.operation}_${index}`);
    const inputNames = graph.inputs.map((tensor) => this.#tensorName(tensor));
    const outputNames = [...graph.outputs.values()].map((tensor) => this.#tensorName(tensor));

    const versions = this.#message('VersionDef', { setProducer: graphVersion });
    const graphDef = this.#message('GraphDef', {
      setNodeList: graph.nodes.map((node) => this.#node(node)),
      setVersions: versions,
    });
    const signature = this.#message('SignatureDef', { setMethodName: 'tensorflow/serving/predict' });
    const { MetaInfoDef } = this.#messages.MetaGraphDef;
    const metaInfo = fill(new MetaInfoDef(), { setTagsList: [savedModelTag] });
    const metaGraph = this.#message('MetaGraphDef', { setGraphDef: graphDef, setMetaInfoDef: metaInfo });
    setInMap(metaGraph, 'getSignatureDefMap', 'serving_default', signature);
    const savedModel = this.#message('SavedModel', {
      setSavedModelSchemaVersion: 1,
      setMetaGraphsList: [metaGraph],
    });
    return { bytes: savedModel.serializeBinary(), inputNames, outputNames };
  }

  #message(name: Exclude<keyof TensorFlowMessages, never>, fields: Readonly<Record<string, unknown>>): ProtobufMessage {
    return fill(new this.#messages[name](), fields);
  }

  #tensorName({ node, index }: GraphTensor): string {
    return `${this.#names.get(node)}:${index}`;
  }

  #node(node: GraphNode): ProtobufMessage {
    const message = this.#message('NodeDef', {
      setName: this.#names.get(node),
      setOp: node.operation,
      setInputList: node.inputs.map((input) => this.#tensorName(input)),
    });
    for (const [name, attribute] of Object.entries(node.attributes)) {
      setInMap(message, 'getAttrMap', name, this.#attribute(attribute));
    }
    if (node.values !== undefined) {
      const value = this.#message('AttrValue', { setTensor: this.#tensor(node.outputs[0], node.values) });
      setInMap(message, 'getAttrMap', 'value', value);
    }
    return message;
  }

  #attribute(attribute: Attribute): ProtobufMessage {
    const { kind, value } = attribute;
    switch (kind) {
      case 'type':
        return this.#message('AttrValue', { setType: value });
      case 'int':
        return this.#message('AttrValue', { setI: value });
      case 'float':
        return this.#message('AttrValue', { setF: value });
      case 'bool':
        return this.#message('AttrValue', { setB: value });
      case 'string':
        return this.#message('AttrValue', { setS: utf8(value) });
      case 'shape':
        return this.#message('AttrValue', { setShape: this.#shape(value) });
      case 'ints':
        return this.#list({ setIList: value });
      case 'floats':
        return this.#list({ setFList: value });
      case 'bools':
        return this.#list({ setBList: value });
      default:
        return kind satisfies never;
    }
  }

  #list(fields: Readonly<Record<string, unknown>>): ProtobufMessage {
    return this.#message('AttrValue', { setList: fill(new this.#messages.AttrValue.ListValue(), fields) });
  }

  #shape(shape: readonly number[]): ProtobufMessage {
    const { Dim } = this.#messages.TensorShape;
    return this.#message('TensorShape', { setDimList: shape.map((size) => fill(new Dim(), { setSize: size })) });
  }

  #tensor({ dataType, shape }: GraphTensor, values: ConstantValues): ProtobufMessage {
    return this.#message('Tensor', {
      setDtype: dataType,
      setTensorShape: this.#shape(shape),
      setTensorContent: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    });
  }
}

function fill(message: ProtobufMessage, fields: Readonly<Record<string, unknown>>): ProtobufMessage {
  for (const [setter, value] of Object.entries(fields)) message[setter](value as never);
  return message;
}

function setInMap(message: ProtobufMessage, getter: string, key: string, value: ProtobufMessage): void {
  (message[getter]() as Map<string, ProtobufMessage>).set(key, value);
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
