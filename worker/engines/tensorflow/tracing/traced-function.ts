// A function of tensors compiled to a TensorFlow graph, so that any number of operations takes a single call.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tensor } from '@tensorflow/tfjs-core';
import { messageOf } from '../../../../shared/errors.js';
import type { TensorFlowRuntime } from '../runtime.js';
import { dataTypeName } from '../data-types.js';
import type { Graph, GraphPass, TensorType } from './graph.js';
import { record, type NamedTensors } from './recorder.js';
import { savedModelFile, savedModelTag, writeSavedModel } from './saved-model.js';
import { simplify } from './simplify.js';
import { TracingError } from './tracing-error.js';

export interface TracedFunction<Inputs extends readonly Tensor[], Outputs extends NamedTensors> {
  /** The graph that was loaded into TensorFlow. */
  readonly graph: Graph;
  /**
   * Runs the graph. The caller, or tidy, must dispose of the outputs.
   * Throws TracingError unless the number, shapes and types of the inputs match those used for tracing.
   */
  call(...inputs: Inputs): Outputs;
  /** Releases the graph. The function must not be called afterward. */
  dispose(): void;
}

/**
 * Traces a function of tensors: runs it once on the given inputs, records its operations, and loads them as a graph.
 * Calls must pass inputs with the same shapes and types.
 *
 * The function may use every operation of this backend, including gradients, but must not read the values of tensors.
 * Values computed in JavaScript, and tensors that are not inputs, become constants. An output may be one of the inputs,
 * and two outputs may be the same tensor.
 * Throws TracingError if an operation cannot be recorded or loaded; the message names the operation.
 * @param passes applied in order to the simplified graph
 */
export function trace<Inputs extends readonly Tensor[], Outputs extends NamedTensors>(
  runtime: TensorFlowRuntime,
  compute: (...inputs: Inputs) => Outputs,
  inputs: Inputs,
  passes: readonly GraphPass[] = [],
): TracedFunction<Inputs, Outputs> {
  const { backend, messages } = runtime;
  const recorded = record(runtime, compute, inputs);
  const graph = [simplify, ...passes].reduce((graph, pass) => pass(graph), recorded);
  const saved = writeSavedModel(messages, graph);
  const session = loadSession(runtime, saved.bytes);
  const inputInfos = saved.inputNames.map((name) => ({ name }));
  // Two outputs may be the same tensor, which is fetched only once.
  const fetched = [...new Set(saved.outputNames)];
  const outputs = [...graph.outputs.keys()].map((name, index) => ({
    name,
    index: fetched.indexOf(saved.outputNames[index]),
  }));
  let isDisposed = false;

  return {
    graph,
    call: (...given) => {
      if (isDisposed) throw new TracingError('the traced function has been disposed of');
      checkInputs(runtime, graph.inputs, given);
      const results = backend.runSavedModel(session, given, inputInfos, fetched);
      const used = new Set<number>();
      const named = outputs.map(({ name, index }) => {
        const tensor = used.has(index) ? results[index].clone() : results[index];
        used.add(index);
        return [name, tensor] as const;
      });
      // The cast is safe: names and types are those of the function's outputs.
      return Object.fromEntries(named) as Outputs;
    },
    dispose: () => {
      if (isDisposed) return;
      isDisposed = true;
      backend.deleteSavedModel(session);
    },
  };
}

/** Loads a SavedModel from a temporary folder, which TensorFlow does not need afterward. */
function loadSession({ backend }: TensorFlowRuntime, savedModel: Uint8Array): number {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-graph-'));
  try {
    writeFileSync(join(folder, savedModelFile), savedModel);
    return backend.loadSavedModelMetaGraph(folder, savedModelTag);
  } catch (error) {
    throw new TracingError(`TensorFlow cannot load the recorded graph: ${messageOf(error)}`, { cause: error });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function checkInputs({ backend }: TensorFlowRuntime, expected: readonly TensorType[], given: readonly Tensor[]): void {
  if (given.length !== expected.length) {
    throw new TracingError(`the traced function takes ${expected.length} inputs, not ${given.length}`);
  }
  for (const [index, { dataType, shape }] of expected.entries()) {
    const type = { dataType: backend.tensorMap.get(given[index].dataId).dtype, shape: given[index].shape };
    const [wanted, got] = [describe({ dataType, shape }), describe(type)];
    if (got !== wanted) throw new TracingError(`input ${index} is ${got}, but the function was traced with ${wanted}`);
  }
}

function describe({ dataType, shape }: TensorType): string {
  return `${dataTypeName(dataType)} [${shape.join(', ')}]`;
}
