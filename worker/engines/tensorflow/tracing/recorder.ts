// Runs a function of tensors once and records its TensorFlow operations. All tfjs kernels of this backend call only two
// functions of the native binding: executeOp, and createTensor for values from JavaScript. While the function runs, an
// object that records these calls replaces the binding. The function is actually executed on the given tensors, so all
// shapes are known.
import type { Tensor } from '@tensorflow/tfjs-core';
import type { NativeAttribute, NativeBackend, NativeBinding, TensorFlowRuntime } from '../runtime.js';
import { dataTypeName, dataTypes } from '../data-types.js';
import { GraphBuilder, type Attribute, type ConstantValues, type Graph, type GraphTensor } from './graph.js';
import { TracingError } from './tracing-error.js';

export type NamedTensors = Record<string, Tensor>;

const recordingBindings = new WeakSet<NativeBinding>();

/**
 * Records the operations that a function applies to its inputs. The outcome of everything else, such as loops, random
 * numbers from JavaScript and tensors that are not inputs, becomes a fixed part of the graph.
 * Throws TracingError if the function reads a tensor's values or does anything else that a graph cannot contain.
 */
export function record<Inputs extends readonly Tensor[]>(
  { tf, backend }: TensorFlowRuntime,
  compute: (...inputs: Inputs) => NamedTensors,
  inputs: Inputs,
): Graph {
  if (recordingBindings.has(backend.binding))
    throw new TracingError('a function that is being traced cannot trace another');
  // Uploads the inputs before recording starts; otherwise they would be recorded as constants.
  const inputIds = backend.getInputTensorIds(inputs);
  const recorder = new Recorder(backend, inputs, inputIds);
  return recorder.whileRecording(() => {
    const graphOutputs = new Map<string, GraphTensor>();
    tf.tidy(() => {
      const outputs = compute(...inputs);
      if (outputs instanceof Promise) throw new TracingError('an async function cannot be traced');
      for (const [name, tensor] of Object.entries(outputs)) graphOutputs.set(name, recorder.outputFor(name, tensor));
    });
    return recorder.finish(graphOutputs);
  });
}

class Recorder {
  readonly #backend: NativeBackend;
  readonly #binding: NativeBinding;
  readonly #builder = new GraphBuilder();
  /** Recorded tensors by the binding's tensor ID, which is never reused. */
  readonly #tensors = new Map<number, GraphTensor>();

  constructor(backend: NativeBackend, inputs: readonly Tensor[], inputIds: readonly number[]) {
    this.#backend = backend;
    this.#binding = backend.binding;
    for (const [index, { dataId, shape }] of inputs.entries()) {
      const { dtype } = backend.tensorMap.get(dataId);
      // If the same tensor is passed twice, the function reads only the first placeholder.
      const input = this.#builder.addInput({ dataType: dtype, shape });
      if (!this.#tensors.has(inputIds[index])) this.#tensors.set(inputIds[index], input);
    }
  }

  /** Runs an action with the binding replaced by this recorder. */
  whileRecording<Result>(action: () => Result): Result {
    const backend = this.#backend;
    const getInputTensorIds = backend.getInputTensorIds.bind(backend);
    const recording = this.#recordingBinding();
    recordingBindings.add(recording);
    backend.binding = recording;
    backend.getInputTensorIds = (tensors) => {
      const ids = getInputTensorIds(tensors);
      this.#captureUnknown(tensors, ids);
      return ids;
    };
    try {
      return action();
    } finally {
      backend.binding = this.#binding;
      // Restores the prototype's method.
      delete (backend as Partial<NativeBackend>).getInputTensorIds;
    }
  }

  outputFor(name: string, tensor: Tensor): GraphTensor {
    const [id] = this.#backend.getInputTensorIds([tensor]);
    const found = this.#tensors.get(id);
    if (found === undefined) throw new TracingError(`the output ${name} was not computed by recorded operations`);
    const isInput = found.node.operation === 'Placeholder';
    if (!isInput) return found;
    // TensorFlow cannot fetch a tensor that it is fed, so an output that is an input needs an Identity.
    const attributes = { T: { kind: 'type', value: found.dataType } } as const;
    return this.#builder.add({ operation: 'Identity', inputs: [found], attributes, outputTypes: [found] })[0];
  }

  finish(outputs: ReadonlyMap<string, GraphTensor>): Graph {
    return this.#builder.finish(outputs);
  }

  /** Returns a recording version of the binding. The binding is frozen, so this is a new object with its properties. */
  #recordingBinding(): NativeBinding {
    const binding = this.#binding;
    const members = Object.getOwnPropertyNames(binding).map(
      (name) => [name, (binding as unknown as Record<string, unknown>)[name]] as const,
    );
    const recording = {
      ...Object.fromEntries(members),
      createTensor: (shape: readonly number[], dataType: number, values: ConstantValues) => {
        if (!ArrayBuffer.isView(values)) {
          throw new TracingError(`a constant of type ${dataTypeName(dataType)} cannot be recorded`);
        }
        const id = binding.createTensor(shape, dataType, values);
        this.#addConstant(id, shape, dataType, values);
        return id;
      },
      executeOp: (
        name: string,
        attributes: readonly NativeAttribute[],
        inputIds: readonly number[],
        outputCount: number,
      ) => {
        const recordable = Object.fromEntries(
          attributes.map((attribute) => [attribute.name, this.#attributeOf(name, attribute)] as const),
        );
        const inputs = inputIds.map((id) => {
          const input = this.#tensors.get(id);
          if (input === undefined) throw new TracingError(`${name} uses a tensor that was not recorded`);
          return input;
        });
        const outputs = binding.executeOp(name, attributes, inputIds, outputCount);
        for (const { dtype } of outputs) {
          if (dtype === dataTypes.string || dtype === dataTypes.resource) {
            throw new TracingError(`${name} cannot be recorded: it returns a ${dataTypeName(dtype)}`);
          }
        }
        const outputTypes = outputs.map(({ dtype, shape }) => ({ dataType: dtype, shape }));
        const recorded = this.#builder.add({ operation: name, inputs, attributes: recordable, outputTypes });
        for (const [index, { id }] of outputs.entries()) this.#tensors.set(id, recorded[index]);
        return outputs;
      },
      tensorDataSync: () => {
        throw new TracingError(
          "the traced function reads a tensor's values (with dataSync, arraySync, data or array, or an operation that inspects " +
            'its input, such as tf.gather), which a graph does not know in advance. Compute with the tensor or return it.',
        );
      },
      runSavedModel: () => {
        throw new TracingError('the traced function runs a SavedModel, which cannot be recorded');
      },
    };
    return recording as unknown as NativeBinding;
  }

  /** Records as constants those tensors that the function uses but that are neither inputs nor recorded outputs. */
  #captureUnknown(tensors: readonly Tensor[], ids: readonly number[]): void {
    for (const [index, id] of ids.entries()) {
      if (this.#tensors.has(id)) continue;
      const { shape, dataId } = tensors[index];
      const { dtype } = this.#backend.tensorMap.get(dataId);
      this.#addConstant(id, shape, dtype, this.#binding.tensorDataSync(id));
    }
  }

  #addConstant(id: number, shape: readonly number[], dataType: number, values: ConstantValues): void {
    this.#tensors.set(id, this.#builder.addConstant({ dataType, shape: [...shape] }, values.slice()));
  }

  #attributeOf(operation: string, { name, type, value }: NativeAttribute): Attribute {
    const { TF_ATTR_TYPE, TF_ATTR_INT, TF_ATTR_FLOAT, TF_ATTR_BOOL, TF_ATTR_STRING, TF_ATTR_SHAPE } = this.#binding;
    const isList = Array.isArray(value);
    switch (type) {
      case TF_ATTR_TYPE:
        if (!isList) return { kind: 'type', value: Number(value) };
        break;
      case TF_ATTR_INT:
        return isList ? { kind: 'ints', value: value.map(Number) } : { kind: 'int', value: Number(value) };
      case TF_ATTR_FLOAT:
        return isList ? { kind: 'floats', value: value.map(Number) } : { kind: 'float', value: Number(value) };
      case TF_ATTR_BOOL:
        return isList ? { kind: 'bools', value: value.map(Boolean) } : { kind: 'bool', value: Boolean(value) };
      case TF_ATTR_STRING:
        if (typeof value === 'string') return { kind: 'string', value };
        break;
      case TF_ATTR_SHAPE:
        if (isList) return { kind: 'shape', value: value.map(Number) };
        break;
      default:
    }
    throw new TracingError(`${operation} cannot be recorded: its attribute ${name} has an unsupported type`);
  }
}
