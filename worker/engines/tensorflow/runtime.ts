// The loaded TensorFlow as this engine sees it: tfjs, its native backend, and TensorFlow operations that tfjs has no name
// for. Loads nothing: see load.ts.
import type * as tfjs from '@tensorflow/tfjs-core';
import { dataTypes, type DataTypeName } from './tracing/data-types.js';
import type { TensorFlowMessages } from './tracing/saved-model.js';

export type TensorFlowJs = typeof tfjs;

/** An attribute of an operation as the native binding takes it. `type` is one of its TF_ATTR codes. */
export interface NativeAttribute {
  name: string;
  type: number;
  value: unknown;
}

/** A tensor as the native binding names it. `dtype` is a code: see dataTypes. */
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
  /** Hands values that are still JavaScript's to TensorFlow. */
  getInputTensorIds(tensors: readonly tfjs.Tensor[]): number[];
  createOutputTensor(tensor: NativeTensor): tfjs.Tensor;
  /** Loads a SavedModel into a session; returns its number. */
  loadSavedModelMetaGraph(folder: string, tags: string): number;
  runSavedModel(
    session: number,
    inputs: readonly tfjs.Tensor[],
    inputNames: readonly { name: string }[],
    outputNames: readonly string[],
  ): tfjs.Tensor[];
  deleteSavedModel(session: number): void;
}

export interface TensorFlowRuntime {
  tf: TensorFlowJs;
  backend: NativeBackend;
  /** TensorFlow's own, to write graphs with. */
  messages: TensorFlowMessages;
  /** `tfjs-node-gpu` or `tfjs-node`. */
  packageName: string;
  packageVersion: string;
  /** Where it was found, for people. */
  folder: string;
  /** Threads that the process computes with: TensorFlow takes the number once, when it is loaded. */
  threads: number;
}

/** An attribute of a TensorFlow operation: a data type, or a value. */
export type OperationAttribute = { type: DataTypeName } | { float: number } | { bool: boolean };

/**
 * Runs a TensorFlow operation by its own name. The binding is read at each call, so that a tracer may stand in for it.
 * @param outputCount how many outputs the operation has
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
    return { name: attribute, type: binding.TF_ATTR_BOOL, value: value.bool };
  });
  return backend.executeMultipleOutputs(name, native, inputs, outputCount);
}

/**
 * A tensor of bytes. tfjs has no such type and takes it for int32: only runOperation can compute with it, a Cast first.
 * Its memory is the array's: the array must not change while the tensor lives.
 */
export function bytesTensor(backend: NativeBackend, bytes: Uint8Array, shape: readonly number[]): tfjs.Tensor {
  const id = backend.binding.createTensor(shape, dataTypes.uint8, bytes);
  return backend.createOutputTensor({ id, shape: [...shape], dtype: dataTypes.uint8 });
}
