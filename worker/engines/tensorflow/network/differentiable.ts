// Layers that use TensorFlow's gradient operations because the gradients in tfjs are slower or missing.
import type { Scalar, Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { runOperation, type TensorFlowJs, type TensorFlowRuntime } from '../runtime.js';

interface ForwardOutput<Output extends Tensor> {
  value: Output;
  /** Tensors that are kept for the computation of the gradients. */
  saved: Tensor[];
  /** Returns one gradient per input. */
  gradientsOf: (upstream: Output, saved: Tensor[]) => Tensor[];
}

/** Calls a function that defines its gradient explicitly. */
export function withGradient<Inputs extends Tensor[], Output extends Tensor>(
  tf: TensorFlowJs,
  inputs: Inputs,
  forward: (...inputs: Inputs) => ForwardOutput<Output>,
): Output {
  const compute = tf.customGrad<Output>((...inputsAndSave) => {
    // tfjs passes the inputs followed by the function that saves tensors, and types them as a single list.
    const save = inputsAndSave.at(-1) as (tensors: Tensor[]) => void;
    const { value, saved, gradientsOf } = forward(...(inputsAndSave.slice(0, -1) as Inputs));
    save(saved);
    return { value, gradFunc: gradientsOf };
  });
  return compute(...inputs);
}

export const float32 = { T: { type: 'float32' } } as const;

/** Adds a bias to each channel (the last axis). */
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
 * Returns the softmax cross-entropy of the logits, summed over the images.
 * @param labelSmoothing fraction of each label that is spread evenly over all classes, as in Keras's
 *   CategoricalCrossentropy
 */
export function crossEntropySum(
  runtime: TensorFlowRuntime,
  logits: Tensor2D,
  labels: Tensor1D,
  labelSmoothing = 0,
): Scalar {
  const { tf, backend } = runtime;
  return withGradient(tf, [logits], (logits) => {
    const spread = labelSmoothing / logits.shape[1];
    const targets = () =>
      tf.oneHot(labels, logits.shape[1], 1 - labelSmoothing + spread, spread, 'float32') as Tensor2D;
    let losses: Tensor;
    let gradient: Tensor2D;
    // On GPUs, TensorFlow has no deterministic kernels for its cross-entropy operations and therefore rejects them.
    if (backend.isUsingGpuDevice) [losses, gradient] = deterministicCrossEntropy(runtime, logits, targets());
    else if (labelSmoothing > 0) [losses, gradient] = crossEntropyOfTargets(runtime, logits, targets());
    else [losses, gradient] = crossEntropyOfLabels(runtime, logits, labels);
    return {
      value: tf.sum<Scalar>(losses),
      saved: [gradient],
      gradientsOf: (upstream, [gradient]) => [tf.mul(gradient, upstream)],
    };
  });
}

/** Losses that add up to the loss of the batch, and the gradient of their sum with respect to the logits. */
type LossesAndGradient = [losses: Tensor, gradient: Tensor2D];

function crossEntropyOfLabels({ backend }: TensorFlowRuntime, logits: Tensor2D, labels: Tensor1D): LossesAndGradient {
  const attributes = { ...float32, Tlabels: { type: 'int32' } } as const;
  const name = 'SparseSoftmaxCrossEntropyWithLogits';
  return runOperation(backend, name, attributes, [logits, labels], 2) as LossesAndGradient;
}

function crossEntropyOfTargets({ backend }: TensorFlowRuntime, logits: Tensor2D, targets: Tensor2D): LossesAndGradient {
  return runOperation(backend, 'SoftmaxCrossEntropyWithLogits', float32, [logits, targets], 2) as LossesAndGradient;
}

/** Uses only operations that are deterministic on GPUs. Returns one loss per image and class instead of per image. */
function deterministicCrossEntropy(
  { tf, backend }: TensorFlowRuntime,
  logits: Tensor2D,
  targets: Tensor2D,
): LossesAndGradient {
  const [logProbabilities] = runOperation(backend, 'LogSoftmax', float32, [logits], 1) as [Tensor2D];
  return [tf.neg(tf.mul(targets, logProbabilities)), tf.sub(tf.exp(logProbabilities), targets)];
}
