// Layers on TensorFlow's own gradient operations, where tfjs's gradients are slower or missing.
import type { Scalar, Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { runOperation, type TensorFlowJs, type TensorFlowRuntime } from './runtime.js';

interface ForwardOutput<Output extends Tensor> {
  value: Output;
  /** What the gradient needs; kept until it is computed. */
  saved: Tensor[];
  /** One gradient per input. */
  gradientsOf: (upstream: Output, saved: Tensor[]) => Tensor[];
}

/** Computes a function of tensors that states its own gradient. */
export function withGradient<Inputs extends Tensor[], Output extends Tensor>(
  tf: TensorFlowJs,
  inputs: Inputs,
  forward: (...inputs: Inputs) => ForwardOutput<Output>,
): Output {
  const compute = tf.customGrad<Output>((...inputsAndSave) => {
    // tfjs types this as one list: the inputs, then the function that saves tensors.
    const save = inputsAndSave.at(-1) as (tensors: Tensor[]) => void;
    const { value, saved, gradientsOf } = forward(...(inputsAndSave.slice(0, -1) as Inputs));
    save(saved);
    return { value, gradFunc: gradientsOf };
  });
  return compute(...inputs);
}

const float32 = { T: { type: 'float32' } } as const;

export function relu<Shape extends Tensor>({ tf, backend }: TensorFlowRuntime, x: Shape): Shape {
  return withGradient(tf, [x], (x) => {
    const [y] = runOperation(backend, 'Relu', float32, [x], 1) as [Shape];
    return {
      value: y,
      saved: [y],
      gradientsOf: (upstream, [y]) => runOperation(backend, 'ReluGrad', float32, [upstream, y], 1),
    };
  });
}

/** Adds a value to each channel (the last axis). */
export function addBias<Shape extends Tensor>({ tf, backend }: TensorFlowRuntime, x: Shape, bias: Tensor1D): Shape {
  return withGradient(tf, [x, bias], (x, bias) => {
    const [y] = runOperation(backend, 'BiasAdd', float32, [x, bias], 1) as [Shape];
    return {
      value: y,
      saved: [],
      gradientsOf: (upstream) => [upstream, ...runOperation(backend, 'BiasAddGrad', float32, [upstream], 1)],
    };
  });
}

/**
 * The sum over the images of the softmax cross-entropy of their logits.
 * @param labelSmoothing the part of each label that is spread over all classes, as Keras's CategoricalCrossentropy does
 */
export function crossEntropySum(
  { tf, backend }: TensorFlowRuntime,
  logits: Tensor2D,
  labels: Tensor1D,
  labelSmoothing = 0,
): Scalar {
  return withGradient(tf, [logits], (logits) => {
    const classes = logits.shape[1];
    const spread = labelSmoothing / classes;
    const [losses, gradient] = (
      labelSmoothing === 0
        ? runOperation(
            backend,
            'SparseSoftmaxCrossEntropyWithLogits',
            { ...float32, Tlabels: { type: 'int32' } },
            [logits, labels],
            2,
          )
        : runOperation(
            backend,
            'SoftmaxCrossEntropyWithLogits',
            float32,
            [logits, tf.oneHot(labels, classes, 1 - labelSmoothing + spread, spread, 'float32')],
            2,
          )
    ) as [Tensor1D, Tensor2D];
    return {
      value: tf.sum<Scalar>(losses),
      saved: [gradient],
      gradientsOf: (upstream, [gradient]) => [tf.mul(gradient, upstream)],
    };
  });
}
