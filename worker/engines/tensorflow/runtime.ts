// The loaded TensorFlow as this engine sees it: tfjs, its native backend, and TensorFlow operations that tfjs has no name
// for. Loads nothing: see load.ts.
import type * as tfjs from '@tensorflow/tfjs-core';

export type TensorFlowJs = typeof tfjs;

/** The part of tfjs-node's native binding that this engine uses. Numbers are TensorFlow's type codes. */
export interface NativeBinding {
  TF_Version: string;
  TF_FLOAT: number;
  TF_INT32: number;
  TF_ATTR_TYPE: number;
  TF_ATTR_FLOAT: number;
  TF_ATTR_BOOL: number;
  TF_ATTR_STRING: number;
}

/** The part of tfjs-node's backend that this engine uses. */
export interface NativeBackend {
  binding: NativeBinding;
  isUsingGpuDevice: boolean;
  executeMultipleOutputs(
    name: string,
    attributes: readonly object[],
    inputs: readonly tfjs.Tensor[],
    outputCount: number,
  ): tfjs.Tensor[];
}

export interface TensorFlowRuntime {
  tf: TensorFlowJs;
  backend: NativeBackend;
  /** `tfjs-node-gpu` or `tfjs-node`. */
  packageName: string;
  packageVersion: string;
  /** Where it was found, for people. */
  folder: string;
  /** Threads that the process computes with: TensorFlow takes the number once, when it is loaded. */
  threads: number;
}

/** An attribute of a TensorFlow operation: a data type, or a value. */
export type OperationAttribute = { type: 'float32' | 'int32' } | { float: number } | { bool: boolean };

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
    if ('type' in value) {
      const code = value.type === 'float32' ? binding.TF_FLOAT : binding.TF_INT32;
      return { name: attribute, type: binding.TF_ATTR_TYPE, value: code };
    }
    if ('float' in value) return { name: attribute, type: binding.TF_ATTR_FLOAT, value: value.float };
    return { name: attribute, type: binding.TF_ATTR_BOOL, value: value.bool };
  });
  return backend.executeMultipleOutputs(name, native, inputs, outputCount);
}
