// Traces functions that are not networks: the graph must return the same values as the function, or tracing must fail
// with a clear error.
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { Rank, Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../../../../../worker/engines/tensorflow/load.js';
import { bytesTensor, runOperation, type TensorFlowRuntime } from '../../../../../worker/engines/tensorflow/runtime.js';
import { countOperations } from '../../../../support/count-operations.js';
import type { NamedTensors } from '../../../../../worker/engines/tensorflow/tracing/recorder.js';
import { trace } from '../../../../../worker/engines/tensorflow/tracing/traced-function.js';
import { TracingError } from '../../../../../worker/engines/tensorflow/tracing/tracing-error.js';
import { openTensorFlowOrReason } from '../../../../support/tensorflow.js';

const opened = await openTensorFlowOrReason();

describe('a traced function', () => {
  let runtime: TensorFlowRuntime;
  let tf: TensorFlowRuntime['tf'];

  beforeEach((context) => {
    if (typeof opened === 'string') context.skip(opened);
    runtime = loadTensorFlow(1);
    ({ tf } = runtime);
  });

  const valuesOf = (tensor: Tensor) => [...tensor.dataSync()];

  it('returns the same values as the function for inputs other than the traced ones', () => {
    const traced = trace(runtime, (a: Tensor2D, b: Tensor2D) => ({ product: tf.matMul(a, b) }), [
      tf.zeros<Rank.R2>([2, 2]),
      tf.zeros<Rank.R2>([2, 1]),
    ]);
    const { product } = traced.call(tf.tensor2d([1, 2, 3, 4], [2, 2]), tf.tensor2d([10, 100], [2, 1]));
    expect(product.shape).toEqual([2, 1]);
    expect(valuesOf(product)).toEqual([210, 430]); // 1*10 + 2*100, 3*10 + 4*100
    traced.dispose();
  });

  it('has several named outputs, among them one tensor twice, an input and a constant', () => {
    const traced = trace(
      runtime,
      (x: Tensor1D) => {
        const double = tf.mul(x, 2);
        return { sum: tf.sum(double), double, again: double, same: x, seven: tf.scalar(7) };
      },
      [tf.tensor1d([0, 0])],
    );
    const x = tf.tensor1d([3, 5]);
    const outputs = traced.call(x);
    expect(valuesOf(outputs.sum)).toEqual([16]);
    expect(valuesOf(outputs.double)).toEqual([6, 10]);
    expect(valuesOf(outputs.again)).toEqual([6, 10]);
    expect(valuesOf(outputs.same)).toEqual([3, 5]);
    expect(valuesOf(outputs.seven)).toEqual([7]);
    tf.dispose(outputs);
    expect(valuesOf(x)).toEqual([3, 5]); // the input still belongs to the caller
    traced.dispose();
  });

  it('accepts and returns int32', () => {
    const traced = trace(
      runtime,
      (values: Tensor1D, indices: Tensor1D) => ({
        chosen: tf.oneHot(indices, 3),
        next: tf.add(indices, tf.scalar(1, 'int32')),
        largest: tf.argMax(values),
        isLarge: tf.greater(values, 15),
      }),
      [tf.tensor1d([0, 0, 0]), tf.tensor1d([0, 0], 'int32')],
    );
    const outputs = traced.call(tf.tensor1d([10, 20, 30]), tf.tensor1d([2, 0], 'int32'));
    expect(valuesOf(outputs.chosen)).toEqual([0, 0, 1, 1, 0, 0]);
    expect(outputs.next.dtype).toBe('int32');
    expect(valuesOf(outputs.next)).toEqual([3, 1]);
    expect(valuesOf(outputs.largest)).toEqual([2]);
    expect(valuesOf(outputs.isLarge)).toEqual([0, 1, 1]);
    traced.dispose();
  });

  it('accepts bytes', () => {
    const { backend } = runtime;
    const attributes = { SrcT: { type: 'uint8' }, DstT: { type: 'float32' }, Truncate: { bool: false } } as const;
    const bytes = (...values: number[]) => bytesTensor(backend, Uint8Array.from(values), [values.length]);
    const traced = trace(
      runtime,
      (x: Tensor) => ({ halves: tf.div(runOperation(backend, 'Cast', attributes, [x], 1)[0], 2) }),
      [bytes(0, 0, 0)],
    );
    expect(valuesOf(traced.call(bytes(0, 7, 255)).halves)).toEqual([0, 3.5, 127.5]);
    traced.dispose();
  });

  it('accepts the same tensor twice', () => {
    const x = tf.tensor1d([2]);
    const traced = trace(runtime, (a: Tensor1D, b: Tensor1D) => ({ sum: tf.add(a, b) }), [x, x]);
    expect(valuesOf(traced.call(tf.tensor1d([5]), tf.tensor1d([5])).sum)).toEqual([10]);
    traced.dispose();
  });

  it('computes gradients, and repeats loops as often as during tracing', () => {
    const traced = trace(
      runtime,
      (x: Tensor1D) => {
        const cube = (x: Tensor1D) => {
          let y: Tensor = x;
          for (let i = 0; i < 2; i++) y = tf.mul(y, x);
          return tf.sum(y);
        };
        return { gradient: tf.grad((x) => cube(x as Tensor1D))(x) };
      },
      [tf.tensor1d([1, 1])],
    );
    expect(valuesOf(traced.call(tf.tensor1d([2, 3])).gradient)).toEqual([12, 27]); // 3x²
    traced.dispose();
  });

  it('stores captured tensors as constants with their values at the time of tracing', () => {
    const fresh = tf.tensor1d([1, 2]);
    const used = tf.tensor1d([10, 20]);
    tf.add(used, used).dispose(); // uploads the values of `used`
    const traced = trace(runtime, (x: Tensor1D) => ({ sum: tf.addN([x, fresh, used]) }), [tf.tensor1d([0, 0])]);
    tf.dispose([fresh, used]);
    expect(valuesOf(traced.call(tf.tensor1d([100, 200])).sum)).toEqual([111, 222]);
    traced.dispose();
  });

  it('has the same bits as the function for convolution, pooling and softmax', () => {
    const network = (images: Tensor4D, kernel: Tensor4D) => {
      const lossOf = (kernel: Tensor4D) => {
        const features = tf.maxPool(tf.conv2d(images, kernel, 1, 'same'), 2, 2, 'valid');
        return tf.sum(tf.slice(tf.logSoftmax(tf.mean<Tensor2D>(features, [1, 2])), [0, 0], [-1, 1])) as Tensor & {
          rank: 0;
        };
      };
      const { value, grad } = tf.valueAndGrad((kernel) => lossOf(kernel as Tensor4D))(kernel);
      return { value, gradient: grad };
    };
    const images = tf.randomNormal([2, 8, 8, 3]) as Tensor4D;
    const kernel = tf.randomNormal([3, 3, 3, 5]) as Tensor4D;
    const traced = trace(runtime, network, [tf.zerosLike(images), tf.zerosLike(kernel)]);
    const expected = network(images, kernel);
    const actual = traced.call(images, kernel);
    expect(valuesOf(actual.value)).toEqual(valuesOf(expected.value));
    expect(valuesOf(actual.gradient)).toEqual(valuesOf(expected.gradient));
    traced.dispose();
  });

  it('can be traced twice from the same function, with different shapes', () => {
    const sumOf = (x: Tensor1D) => ({ sum: tf.sum(x) });
    const two = trace(runtime, sumOf, [tf.tensor1d([0, 0])]);
    const three = trace(runtime, sumOf, [tf.tensor1d([0, 0, 0])]);
    expect(valuesOf(two.call(tf.tensor1d([1, 2])).sum)).toEqual([3]);
    expect(valuesOf(three.call(tf.tensor1d([1, 2, 3])).sum)).toEqual([6]);
    two.dispose();
    expect(valuesOf(three.call(tf.tensor1d([4, 5, 6])).sum)).toEqual([15]);
    three.dispose();
  });

  it('leaves no tensors or folders behind, and restores the binding', () => {
    const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith('lockstep-graph-'));
    const foldersAtFirst = folders();
    const { binding } = runtime.backend;
    const input = tf.tensor1d([1, 2]);
    const tensorsAtFirst = tf.memory().numTensors;
    const traced = trace(runtime, (x: Tensor1D) => ({ sum: tf.sum(tf.exp(tf.mul(x, 2))) }), [input]);
    expect(tf.memory().numTensors).toBe(tensorsAtFirst);
    for (let call = 0; call < 3; call++) tf.dispose(traced.call(input));
    traced.dispose();
    traced.dispose(); // a second call has no effect
    expect(tf.memory().numTensors).toBe(tensorsAtFirst);
    expect(folders().filter((name) => !foldersAtFirst.includes(name))).toEqual([]);
    expect(runtime.backend.binding).toBe(binding);
    expect(() => traced.call(input)).toThrow(/disposed of/);
  });

  it('omits unneeded nodes from the graph', () => {
    const traced = trace(
      runtime,
      (x: Tensor2D) => {
        tf.exp(x); // unused
        const flat = tf.reshape(tf.reshape(x, [2, 1, 2]), [4]);
        const twice = tf.add(tf.mul(flat, 3), tf.mul(tf.reshape(flat, [4]), 3));
        return { sum: tf.sum(tf.cast(twice, 'float32')) };
      },
      [tf.tensor2d([0, 0, 0, 0], [2, 2])],
    );
    // The two Mul nodes are merged, and the shape [4], the number 3 and the axis have one constant each.
    expect(Object.fromEntries(countOperations(traced.graph))).toEqual({
      Placeholder: 1,
      Reshape: 1,
      Const: 3,
      Mul: 1,
      Add: 1,
      Sum: 1,
    });
    expect(valuesOf(traced.call(tf.tensor2d([1, 2, 3, 4], [2, 2])).sum)).toEqual([60]);
    traced.dispose();
  });

  describe('cannot be created', () => {
    /** Returns the error message of a failed trace, after checking that the attempt left nothing behind. */
    const refusalOf = (compute: (x: Tensor1D) => NamedTensors): string => {
      const { binding } = runtime.backend;
      const x = tf.tensor1d([1, 2]);
      const tensorsAtFirst = tf.memory().numTensors;
      try {
        trace(runtime, compute, [x]).dispose();
        return 'was traced';
      } catch (error) {
        expect(error).toBeInstanceOf(TracingError);
        expect(runtime.backend.binding).toBe(binding);
        expect(tf.memory().numTensors).toBe(tensorsAtFirst);
        return (error as TracingError).message;
      }
    };

    it('if the function reads a tensor back', () => {
      const readsBack = /reads a tensor's values \(with dataSync/;
      expect(refusalOf((x) => ({ y: tf.scalar(tf.sum(x).dataSync()[0]) }))).toMatch(readsBack);
      expect(refusalOf((x) => ({ y: tf.scalar(x.arraySync()[0]) }))).toMatch(/reads a tensor's values/);
      // tf.gather reads the indices back to check whether they are in range.
      expect(refusalOf((x) => ({ y: tf.gather(x, tf.cast(x, 'int32')) }))).toMatch(/tf.gather/);
    });

    it('if an operation returns an unsupported type', () => {
      const attributes = (runtime: TensorFlowRuntime) => [
        { name: 'T', type: runtime.backend.binding.TF_ATTR_TYPE, value: 1 },
      ];
      expect(
        refusalOf((x) => ({ y: runtime.backend.executeMultipleOutputs('AsString', attributes(runtime), [x], 1)[0] })),
      ).toMatch(/AsString cannot be recorded: it returns a string/);
    });

    it('if a constant is text', () => {
      expect(refusalOf(() => ({ y: tf.tensor1d(['a']) }))).toMatch(/a constant of type string cannot be recorded/);
    });

    it('if the function traces another or is async', () => {
      expect(refusalOf((x) => trace(runtime, (x: Tensor1D) => ({ x }), [x]).call(x))).toMatch(/cannot trace another/);
      const asynchronous = (async (x: Tensor1D) => ({ x })) as unknown as (x: Tensor1D) => NamedTensors;
      expect(refusalOf(asynchronous)).toMatch(/async/);
    });

    it('if TensorFlow rejects the graph, with the name of the node', () => {
      const x = tf.tensor1d([1]);
      const broken = () =>
        trace(
          runtime,
          (x: Tensor1D) => ({ y: tf.exp(x) }),
          [x],
          [
            (graph) => ({
              ...graph,
              nodes: graph.nodes.map((node) =>
                node.operation === 'Exp' ? Object.assign(node, { operation: 'NoSuch' }) : node,
              ),
            }),
          ],
        );
      expect(broken).toThrow(/cannot load the recorded graph: .*NoSuch/);
    });

    it('rejects calls with another shape, type or number of inputs', () => {
      const traced = trace(runtime, (x: Tensor1D) => ({ y: tf.exp(x) }), [tf.tensor1d([1, 2])]);
      expect(() => traced.call(tf.tensor1d([1, 2, 3]))).toThrow(
        'input 0 is float32 [3], but the function was traced with float32 [2]',
      );
      expect(() => traced.call(tf.tensor1d([1, 2], 'int32'))).toThrow('input 0 is int32 [2]');
      expect(() => (traced.call as () => unknown)()).toThrow('takes 1 inputs, not 0');
      traced.dispose();
    });
  });
});
