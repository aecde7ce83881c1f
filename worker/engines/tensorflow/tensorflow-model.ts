// A network on TensorFlow: transfers arrays to and from the device and measures times. The network itself is in
// network/network.ts.
import type { Tensor, Tensor1D } from '@tensorflow/tfjs-core';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import type { ImageBatch, Preprocessing } from '../../../shared/dataset/image-batch.js';
import { dropoutMask } from '../../../shared/network/dropout.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import { cropBatch, labelsOf } from '../../augmentation.js';
import type { BatchResult, EngineModel, EvaluationResult, Precision, SliceResult } from '../../engine.js';
import { Network, type EvaluationTensors, type GradientTensors, type SumTensors } from './network/network.js';
import { lossScaleOf, precisionPasses, type ComputeUnits } from './precision.js';
import { bytesTensor, type TensorFlowRuntime } from './runtime.js';
import { trace, type TracedFunction } from './tracing/traced-function.js';

/** Whether TensorFlow is called once per slice or once per operation. */
export type TensorFlowMode = 'graph' | 'eager';

export interface TensorFlowModelOptions {
  layout: ModelLayout;
  preprocessing: Preprocessing;
  labelSmoothing: number;
  mode: TensorFlowMode;
  precision: Precision;
  units: ComputeUnits;
}

type GradientInputs = [weights: Tensor1D, images: Tensor, labels: Tensor1D, ...dropoutMasks: Tensor[]];
type EvaluationInputs = [weights: Tensor1D, movingStatistics: Tensor1D, images: Tensor, labels: Tensor1D];

export class TensorFlowModel implements EngineModel {
  readonly #runtime: TensorFlowRuntime;
  readonly #network: Network;
  readonly #options: TensorFlowModelOptions;
  /** Graphs by number of images, because shapes are part of a graph. */
  readonly #gradientGraphs = new Map<number, TracedFunction<GradientInputs, GradientTensors>>();
  readonly #evaluationGraphs = new Map<number, TracedFunction<EvaluationInputs, EvaluationTensors>>();
  /** Augmented images of batches that will probably be processed next. */
  readonly #prepared = new WeakMap<ImageBatch, Uint8Array>();
  /** Copies of the weights and the moving statistics on the device. */
  #weights: { trainable: Tensor1D; movingStatistics: Tensor1D } | null = null;

  constructor(runtime: TensorFlowRuntime, options: TensorFlowModelOptions) {
    const { precision, ...networkOptions } = options;
    this.#runtime = runtime;
    this.#options = options;
    this.#network = new Network(runtime, { ...networkOptions, lossScale: lossScaleOf(precision) });
  }

  setWeights(weights: Float32Array, movingStatistics: Float32Array): void {
    const { tf } = this.#runtime;
    this.#disposeWeights();
    // Copies the arrays, because a tensor may share the memory of its array.
    this.#weights = {
      trainable: tf.tensor1d(weights.slice()),
      movingStatistics: tf.tensor1d(movingStatistics.slice()),
    };
  }

  prepare(batch: ImageBatch): void {
    this.#prepared.set(batch, augmentedImages(batch));
  }

  async computeSlice(batch: ImageBatch): Promise<SliceResult> {
    return this.#compute(
      batch,
      ({ trainable }, images, labels) => {
        const masks = this.#dropoutMasks(batch);
        try {
          return this.#gradientOf(trainable, images, labels, ...masks);
        } finally {
          this.#runtime.tf.dispose(masks);
        }
      },
      ({ gradientSum, batchStatistics }) => ({
        gradientSum: gradientSum.dataSync<'float32'>(),
        batchStatistics: batchStatistics.dataSync<'float32'>(),
      }),
    );
  }

  async evaluate(batch: ImageBatch): Promise<EvaluationResult> {
    return this.#compute(
      batch,
      ({ trainable, movingStatistics }, images, labels) => this.#evaluate(trainable, movingStatistics, images, labels),
      ({ logits }) => ({ logits: logits.dataSync<'float32'>() }),
    );
  }

  dispose(): void {
    this.#disposeWeights();
    for (const graphs of [this.#gradientGraphs, this.#evaluationGraphs]) {
      for (const graph of graphs.values()) graph.dispose();
      graphs.clear();
    }
  }

  #disposeWeights(): void {
    if (this.#weights !== null) this.#runtime.tf.dispose(this.#weights);
    this.#weights = null;
  }

  #gradientOf(...inputs: GradientInputs): GradientTensors {
    const compute = (...tensors: GradientInputs) => this.#network.gradientOf(...tensors);
    return this.#call(this.#gradientGraphs, compute, inputs, inputs[2].size);
  }

  #evaluate(...inputs: EvaluationInputs): EvaluationTensors {
    const compute = (...tensors: EvaluationInputs) => this.#network.evaluate(...tensors);
    return this.#call(this.#evaluationGraphs, compute, inputs, inputs[3].size);
  }

  /** Runs a function of tensors, in graph mode as a graph. */
  #call<Inputs extends Tensor[], Outputs extends SumTensors>(
    graphs: Map<number, TracedFunction<Inputs, Outputs>>,
    compute: (...inputs: Inputs) => Outputs,
    inputs: Inputs,
    imageCount: number,
  ): Outputs {
    const { mode, precision, units } = this.#options;
    if (mode === 'eager') return compute(...inputs);
    let graph = graphs.get(imageCount);
    if (graph === undefined) {
      graph = trace(this.#runtime, compute, inputs, precisionPasses(precision, units));
      graphs.set(imageCount, graph);
    }
    return graph.call(...inputs);
  }

  /** Uploads the masks of the dropout layers: all ones if the batch has no key. The caller must dispose of them. */
  #dropoutMasks({ dropoutKey, indices }: ImageBatch): Tensor[] {
    const { tf } = this.#runtime;
    return this.#network.dropoutLayers.map((layer) => {
      const shape = [indices.length, ...layer.shape];
      return dropoutKey === undefined
        ? tf.ones(shape)
        : tf.tensor(dropoutMask(dropoutKey, layer, indices.length), shape);
    });
  }

  /**
   * Augments the images, runs the network and reads the results.
   * @param readVectors reads the results other than lossSum and correctCount
   */
  #compute<Tensors extends SumTensors, Vectors>(
    batch: ImageBatch,
    run: (weights: { trainable: Tensor1D; movingStatistics: Tensor1D }, images: Tensor, labels: Tensor1D) => Tensors,
    readVectors: (tensors: Tensors) => Vectors,
  ): BatchResult & Vectors {
    const weights = this.#weights;
    if (weights === null) throw new LockstepError('engine-failed', 'the model has no weights: call setWeights first');
    const startedAt = performance.now();
    const sampleCount = batch.indices.length;
    const augmented = this.#prepared.get(batch) ?? augmentedImages(batch);
    const preparedAt = performance.now();

    const { tf, backend } = this.#runtime;
    const { height, width, channels } = this.#options.layout.data;
    const images = bytesTensor(backend, augmented, [sampleCount, height, width, channels]);
    const labels = tf.tensor1d(labelsOf(batch), 'int32');
    try {
      const tensors = run(weights, images, labels);
      const lossSum = tensors.lossSum.dataSync()[0];
      const correctCount = tensors.correctCount.dataSync()[0];
      const vectors = readVectors(tensors);
      tf.dispose(tensors);
      const computeMs = performance.now() - preparedAt;
      return { sampleCount, lossSum, correctCount, augmentMs: preparedAt - startedAt, computeMs, ...vectors };
    } catch (error) {
      const message = `TensorFlow failed on a batch of ${sampleCount} images: ${messageOf(error)}`;
      throw new LockstepError('engine-failed', message, { cause: error });
    } finally {
      tf.dispose([images, labels]);
    }
  }
}

/** Returns the augmented images of a batch as uint8 values, RGB or gray. */
function augmentedImages(batch: ImageBatch): Uint8Array {
  const images = new Uint8Array(batch.indices.length * batch.format.imageValues);
  cropBatch(batch, images);
  return images;
}
