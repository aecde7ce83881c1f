// Writes a graph as TensorFlow's SavedModel: one file, no variables, one signature.
import type { Attribute, ConstantValues, Graph, GraphNode, GraphTensor } from './graph.js';

/** Version of GraphDef and SavedModel that TensorFlow 2 reads; see its core/public/version.h. */
const graphVersion = 1000;
export const savedModelTag = 'serve';
export const savedModelFile = 'saved_model.pb';

/** A protobuf message as the protobuf compiler writes them for JavaScript: setX, addX, getXMap. */
type Message = { [setter: string]: (...values: never[]) => unknown } & { serializeBinary(): Uint8Array };
type MessageClass = new () => Message;

/** TensorFlow's messages, as tfjs-node has them to read SavedModels with. */
export interface TensorFlowMessages {
  SavedModel: MessageClass;
  MetaGraphDef: MessageClass & { MetaInfoDef: MessageClass };
  GraphDef: MessageClass;
  NodeDef: MessageClass;
  AttrValue: MessageClass & { ListValue: MessageClass };
  Tensor: MessageClass;
  TensorShape: MessageClass & { Dim: MessageClass };
  SignatureDef: MessageClass;
  TensorInfo: MessageClass;
  VersionDef: MessageClass;
}

export interface SavedGraph {
  bytes: Uint8Array;
  /** Per input of the graph, as TensorFlow names it when it is fed. */
  inputNames: readonly string[];
  /** Per output of the graph, in the order of its map. */
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
    // The operation's name is in the node's: what TensorFlow says of a node then tells which operation it means.
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

  #message(name: Exclude<keyof TensorFlowMessages, never>, fields: Readonly<Record<string, unknown>>): Message {
    return fill(new this.#messages[name](), fields);
  }

  #tensorName({ node, index }: GraphTensor): string {
    return `${this.#names.get(node)}:${index}`;
  }

  #node(node: GraphNode): Message {
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

  #attribute(attribute: Attribute): Message {
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

  #list(fields: Readonly<Record<string, unknown>>): Message {
    return this.#message('AttrValue', { setList: fill(new this.#messages.AttrValue.ListValue(), fields) });
  }

  #shape(shape: readonly number[]): Message {
    const { Dim } = this.#messages.TensorShape;
    return this.#message('TensorShape', { setDimList: shape.map((size) => fill(new Dim(), { setSize: size })) });
  }

  #tensor({ dataType, shape }: GraphTensor, values: ConstantValues): Message {
    return this.#message('Tensor', {
      setDtype: dataType,
      setTensorShape: this.#shape(shape),
      setTensorContent: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    });
  }
}

function fill(message: Message, fields: Readonly<Record<string, unknown>>): Message {
  for (const [setter, value] of Object.entries(fields)) message[setter](value as never);
  return message;
}

function setInMap(message: Message, getter: string, key: string, value: Message): void {
  (message[getter]() as Map<string, Message>).set(key, value);
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
