// The loss on GPUs, composed of deterministic operations, compared with the single TensorFlow operation used on CPUs.
import type { Rank, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { crossEntropySum } from '../../../../../worker/engines/tensorflow/network/differentiable.js';
import { loadTensorFlow } from '../../../../../worker/engines/tensorflow/load.js';
import type { TensorFlowRuntime } from '../../../../../worker/engines/tensorflow/runtime.js';
import { countOperations } from '../../../../support/count-operations.js';
import { trace } from '../../../../../worker/engines/tensorflow/tracing/traced-function.js';
import { openTensorFlowOrReason } from '../../../../support/tensorflow.js';

const opened = await openTensorFlowOrReason();

/** Returns this machine's TensorFlow, marked as running on a GPU. */
function asOnGpu(runtime: TensorFlowRuntime): TensorFlowRuntime {
  const backend = Object.create(runtime.backend, { isUsingGpuDevice: { value: true } }) as typeof runtime.backend;
  return { ...runtime, backend };
}

function lossAndGradient(runtime: TensorFlowRuntime, logits: Tensor2D, labels: Tensor1D, smoothing: number) {
  const { tf } = runtime;
  const { value, grad } = tf.valueAndGrad((logits) => crossEntropySum(runtime, logits as Tensor2D, labels, smoothing))(
    logits,
  );
  return { value, gradient: grad };
}

describe('crossEntropySum', () => {
  beforeEach((context) => {
    if (typeof opened === 'string') context.skip(opened);
  });

  it.each([0, 0.1])('is the same on GPUs and CPUs, with label smoothing %s', (smoothing) => {
    const runtime = loadTensorFlow(1);
    const { tf } = runtime;
    const logits = tf.mul(tf.randomNormal<Rank.R2>([32, 10], 0, 1, 'float32', 7), 5) as Tensor2D;
    const labels = tf.tensor1d(
      Array.from({ length: 32 }, (_, i) => i % 10),
      'int32',
    );
    const cpu = lossAndGradient(runtime, logits, labels, smoothing);
    const gpu = lossAndGradient(asOnGpu(runtime), logits, labels, smoothing);
    expect(gpu.value.dataSync()[0] / cpu.value.dataSync()[0]).toBeCloseTo(1, 6);
    const difference = tf.max(tf.abs(tf.sub(gpu.gradient, cpu.gradient))).dataSync()[0];
    expect(difference).toBeLessThan(1e-6); // an absolute difference: gradients are at most 1
  });

  it('on GPUs has the value computed by hand for logits ln 3 and 0', () => {
    const runtime = asOnGpu(loadTensorFlow(1));
    const { tf } = runtime;
    // The probabilities are 3/4 and 1/4 and the label is the second class: loss ln 4, gradient 3/4 and 1/4 - 1.
    const { value, gradient } = lossAndGradient(runtime, tf.tensor2d([[Math.log(3), 0]]), tf.tensor1d([1], 'int32'), 0);
    expect(value.dataSync()[0]).toBeCloseTo(Math.log(4), 6);
    expect(gradient.dataSync()[0]).toBeCloseTo(0.75, 6);
    expect(gradient.dataSync()[1]).toBeCloseTo(-0.75, 6);
  });

  it('on GPUs uses no operation that TensorFlow refuses there with TF_DETERMINISTIC_OPS', () => {
    const runtime = asOnGpu(loadTensorFlow(1));
    const { tf } = runtime;
    const traced = trace(
      runtime,
      (logits: Tensor2D, labels: Tensor1D) => lossAndGradient(runtime, logits, labels, 0.1),
      [tf.zeros<Rank.R2>([4, 10]), tf.zeros<Rank.R1>([4], 'int32')],
    );
    expect([...countOperations(traced.graph).keys()].filter((name) => name.includes('CrossEntropy'))).toEqual([]);
    traced.dispose();
  });
});
