// The parts of TensorFlow that this engine uses: tfjs, its native backend, and TensorFlow operations that tfjs does not
// offer. load.ts loads TensorFlow.
import type * as tfjs from '@tensorflow/tfjs-core';
import { dataTypes, type DataTypeName } from './data-types.js';
import type { OneDnnState } from './one-dnn.js';

export type TensorFlowJs = typeof tfjs;

/** An operation's attribute, as the native binding takes it. `type` is one of the binding's TF_ATTR codes. */
export interface NativeAttribute {
  name: string;
  type: number;
  value: unknown;
}

/** A tensor in the native binding. `dtype` is a code from dataTypes. */
export interface NativeTensor {
  id: number;
  shape: number[];
  dtype: number;
}

type HostValues = Float32Array | Int32Array | Uint8Array;

/** The part of tfjs-node's native binding that this engine uses. */
export interface NativeBinding {
  TF_Version: string;
  TF_ATTR_TYPE: number;
  TF_ATTR_INT: number;
  TF_ATTR_FLOAT: number;
  TF_ATTR_BOOL: number;
  TF_ATTR_STRING: number;
  TF_ATTR_SHAPE: number;
  createTensor(shape: readonly number[], dataType: number, values: HostValues): number;
  executeOp(
    name: string,
    attributes: readonly NativeAttribute[],
    inputIds: readonly number[],
    outputCount: number,
  ): NativeTensor[];
  tensorDataSync(id: number): HostValues;
}

/** The part of tfjs-node's backend that this engine uses. */
export interface NativeBackend {
  binding: NativeBinding;
  isUsingGpuDevice: boolean;
  tensorMap: { get(dataId: object): { dtype: number } };
  executeMultipleOutputs(
    name: string,
    attributes: readonly NativeAttribute[],
    inputs: readonly tfjs.Tensor[],
    outputCount: number,
  ): tfjs.Tensor[];
  /** Returns the tensors' IDs in the binding. First uploads values that are still in JavaScript memory. */
  getInputTensorIds(tensors: readonly tfjs.Tensor[]): number[];
  createOutputTensor(tensor: NativeTensor): tfjs.Tensor;
  /** Loads a SavedModel into a session and returns its ID. */
  loadSavedModelMetaGraph(folder: string, tags: string): number;
  runSavedModel(
    session: number,
    inputs: readonly tfjs.Tensor[],
    inputNames: readonly { name: string }[],
    outputNames: readonly string[],
  ): tfjs.Tensor[];
  deleteSavedModel(session: number): void;
}

/** A protobuf message with the accessors that protoc generates for JavaScript: setX, addX, getXMap. */
export type ProtobufMessage = { [setter: string]: (...values: never[]) => unknown } & { serializeBinary(): Uint8Array };
type MessageClass = new () => ProtobufMessage;

/** Protobuf message classes of the SavedModel format. tfjs-node includes them because it reads SavedModels. */
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

export interface TensorFlowRuntime {
  tf: TensorFlowJs;
  backend: NativeBackend;
  /** Protobuf message classes, for writing graphs. */
  messages: TensorFlowMessages;
  /** `tfjs-node-gpu` or `tfjs-node`. */
  packageName: string;
  packageVersion: string;
  /** Folder of the package, shown to users. */
  folder: string;
  /** Number of compute threads in this process. TensorFlow reads it only once, when it is loaded. */
  threads: number;
  /** Whether operations on the CPU use oneDNN; null if unknown. */
  oneDnn: OneDnnState | null;
}

/** An attribute of a TensorFlow operation: a data type or a value. */
export type OperationAttribute =
  { type: DataTypeName } | { float: number } | { bool: boolean } | { string: string } | { ints: readonly number[] };

/**
 * Runs a TensorFlow operation by name. Reads backend.binding on each call, because a tracer may temporarily replace it.
 * @param outputCount number of outputs of the operation
 */
export function runOperation(
  backend: NativeBackend,
  name: string,
  attributes: Readonly<Record<string, OperationAttribute>>,
  inputs: readonly tfjs.Tensor[],
  outputCount: number,
): tfjs.Tensor[] {
  const { binding } = backend;
  const native = Object.entries(attributes).map(([attribute, value]) => {
    if ('type' in value) return { name: attribute, type: binding.TF_ATTR_TYPE, value: dataTypes[value.type] };
    if ('float' in value) return { name: attribute, type: binding.TF_ATTR_FLOAT, value: value.float };
    if ('string' in value) return { name: attribute, type: binding.TF_ATTR_STRING, value: value.string };
    if ('ints' in value) return { name: attribute, type: binding.TF_ATTR_INT, value: value.ints };
    return { name: attribute, type: binding.TF_ATTR_BOOL, value: value.bool };
  });
  return backend.executeMultipleOutputs(name, native, inputs, outputCount);
}

/**
 * Creates a uint8 tensor. tfjs has no such type and treats the tensor as int32, so pass it only to runOperation, with a
 * Cast as the first operation. The tensor shares the memory of the array: do not change the array while the tensor
 * exists.
 */
export function bytesTensor(backend: NativeBackend, bytes: Uint8Array, shape: readonly number[]): tfjs.Tensor {
  const id = backend.binding.createTensor(shape, dataTypes.uint8, bytes);
  return backend.createOutputTensor({ id, shape: [...shape], dtype: dataTypes.uint8 });
}
