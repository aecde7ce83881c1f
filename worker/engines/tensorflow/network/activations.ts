// Activations with explicit gradients, because those in tfjs take more operations or save more tensors.
import type { Tensor } from '@tensorflow/tfjs-core';
import type { ActivationLayer } from '../../../../shared/network/layers.js';
import { runOperation, type TensorFlowRuntime } from '../runtime.js';
import { float32, withGradient } from './differentiable.js';

export function activate<X extends Tensor>(runtime: TensorFlowRuntime, op: ActivationLayer['op'], x: X): X {
  switch (op) {
    case 'relu':
      return relu(runtime, x);
    case 'relu6':
      return relu6(runtime, x);
    case 'gelu':
      return gelu(runtime, x);
    case 'silu':
      return silu(runtime, x);
    case 'sigmoid':
      return sigmoid(runtime, x);
    default:
      return op satisfies never;
  }
}

export function relu<X extends Tensor>({ tf, backend }: TensorFlowRuntime, x: X): X {
  return withGradient(tf, [x], (x) => {
    const [y] = runOperation(backend, 'Relu', float32, [x], 1) as [X];
    return {
      value: y,
      saved: [y],
      gradientsOf: (upstream, [y]) => runOperation(backend, 'ReluGrad', float32, [upstream, y], 1),
    };
  });
}

function relu6<X extends Tensor>({ tf, backend }: TensorFlowRuntime, x: X): X {
  return withGradient(tf, [x], (x) => {
    const [y] = runOperation(backend, 'Relu6', float32, [x], 1) as [X];
    return {
      value: y,
      saved: [y],
      gradientsOf: (upstream, [y]) => runOperation(backend, 'Relu6Grad', float32, [upstream, y], 1),
    };
  });
}

function sigmoid<X extends Tensor>({ tf, backend }: TensorFlowRuntime, x: X): X {
  return withGradient(tf, [x], (x) => {
    const [y] = runOperation(backend, 'Sigmoid', float32, [x], 1) as [X];
    return {
      value: y,
      saved: [y],
      gradientsOf: (upstream, [y]) => runOperation(backend, 'SigmoidGrad', float32, [y, upstream], 1),
    };
  });
}

/** x s with s = sigmoid(x). Its derivative is s + x s (1 - s). */
function silu<X extends Tensor>({ tf, backend }: TensorFlowRuntime, x: X): X {
  return withGradient(tf, [x], (x) => {
    const [s] = runOperation(backend, 'Sigmoid', float32, [x], 1) as [X];
    return {
      value: tf.mul<X>(x, s),
      saved: [x, s],
      gradientsOf: (upstream, [x, s]) => {
        // SigmoidGrad computes s (1 - s) times its second input.
        const [throughSigmoid] = runOperation(backend, 'SigmoidGrad', float32, [s, tf.mul(upstream, x)], 1);
        return [tf.add(tf.mul(upstream, s), throughSigmoid)];
      },
    };
  });
}

/** x Φ(x), where Φ is the cumulative distribution of the standard normal distribution. The derivative is Φ(x) + x φ(x). */
function gelu<X extends Tensor>({ tf }: TensorFlowRuntime, x: X): X {
  return withGradient(tf, [x], (x) => {
    const below = tf.add<X>(tf.mul(tf.erf(tf.mul(x, Math.SQRT1_2)), 0.5), 0.5);
    return {
      value: tf.mul<X>(x, below),
      saved: [x, below],
      gradientsOf: (upstream, [x, below]) => {
        const density = tf.mul(tf.exp(tf.mul(tf.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
        return [tf.mul(upstream, tf.add(below, tf.mul(x, density)))];
      },
    };
  });
}
