// A function of tensors as a TensorFlow graph: one call into TensorFlow, however many operations it has.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tensor } from '@tensorflow/tfjs-core';
import { messageOf } from '../../../../shared/errors.js';
import type { TensorFlowRuntime } from '../runtime.js';
import { dataTypeName } from './data-types.js';
import type { Graph, GraphPass, TensorType } from './graph.js';
import { record, type NamedTensors } from './recorder.js';
import { savedModelFile, savedModelTag, writeSavedModel } from './saved-model.js';
import { simplify } from './simplify.js';
import { TracingError } from './tracing-error.js';

export interface TracedFunction<Inputs extends readonly Tensor[], Outputs extends NamedTensors> {
  /** What TensorFlow was given: to look at. */
  readonly graph: Graph;
  /**
   * Runs the graph. The outputs are the caller's to dispose of, or a tidy's.
   * Throws TracingError for inputs of another number, shape or type than the traced ones.
   */
  call(...inputs: Inputs): Outputs;
  /** Gives the graph back to TensorFlow. It is not called again. */
  dispose(): void;
}

/**
 * Traces a function of tensors to tensors: runs it once on the given inputs, records what it asked of TensorFlow, and
 * loads that as a graph. Calls then take inputs of the same shapes and types.
 *
 * The function may do anything with tensors that this backend does, gradients included, and nothing that needs a
 * tensor's values in JavaScript. What it computes in JavaScript, and tensors of outside that it uses without being given
 * them, become constants. It gives its outputs by name; one may be an input, and two may be the same tensor.
 * Throws TracingError, naming the operation where one cannot be recorded or loaded.
 * @param passes rewrite the recorded graph, in order; what nobody needs has been taken out before
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
  // Two outputs may be one tensor, which is then fetched once.
  const fetched = [...new Set(saved.outputNames)];
  const outputs = [...graph.outputs.keys()].map((name, index) => ({
    name,
    place: fetched.indexOf(saved.outputNames[index]),
  }));
  let isDisposed = false;

  return {
    graph,
    call: (...given) => {
      if (isDisposed) throw new TracingError('the traced function has been disposed of');
      checkInputs(runtime, graph.inputs, given);
      const results = backend.runSavedModel(session, given, inputInfos, fetched);
      const taken = new Set<number>();
      const named = outputs.map(({ name, place }) => {
        const tensor = taken.has(place) ? results[place].clone() : results[place];
        taken.add(place);
        return [name, tensor] as const;
      });
      // The names and their tensors' types are those that the function gave.
      return Object.fromEntries(named) as Outputs;
    },
    dispose: () => {
      if (isDisposed) return;
      isDisposed = true;
      backend.deleteSavedModel(session);
    },
  };
}

/** TensorFlow reads a SavedModel from a folder, and no longer needs it then. */
function loadSession({ backend }: TensorFlowRuntime, savedModel: Uint8Array): number {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-graph-'));
  try {
    writeFileSync(join(folder, savedModelFile), savedModel);
    return backend.loadSavedModelMetaGraph(folder, savedModelTag);
  } catch (error) {
    throw new TracingError(`TensorFlow does not take the recorded graph: ${messageOf(error)}`, { cause: error });
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
    if (got !== wanted) throw new TracingError(`input ${index} is ${got}: the function was traced with ${wanted}`);
  }
}

function describe({ dataType, shape }: TensorType): string {
  return `${dataTypeName(dataType)} [${shape.join(', ')}]`;
}
