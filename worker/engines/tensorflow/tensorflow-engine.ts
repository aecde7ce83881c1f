// The engine that computes with TensorFlow: moves arrays in and out, and times it. The network itself is in resnet.ts.
import type { Tensor1D, Tensor4D } from '@tensorflow/tfjs-core';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import type { ImageBatch, Preprocessing } from '../../../shared/data/image-batch.js';
import { imageChannels, imageSize, type ModelLayout } from '../../../shared/model/layout.js';
import { fillInput, labelsOf, valuesPerImage } from '../../augmentation.js';
import type { BatchResult, Engine, EngineModel, EngineOptions, SliceResult } from '../../engine.js';
import { cpuName, gpuName } from './device-name.js';
import { loadTensorFlow } from './load.js';
import { createResNet, type EvaluationTensors, type ResNet } from './resnet.js';
import type { TensorFlowRuntime } from './runtime.js';

/** Opens TensorFlow in this process. Throws `no-engine` where it does not load. */
export async function openTensorFlowEngine(options: EngineOptions): Promise<Engine> {
  const runtime = loadTensorFlow(options.threads);
  return {
    identity: { engine: 'tensorflow', fingerprint: fingerprintOf(runtime) },
    createModel: async (layout, preprocessing) => new TensorFlowModel(runtime, layout, preprocessing),
    close: async () => {}, // its threads are the process's: TensorFlow cannot be unloaded
  };
}

/** Settings of TensorFlow and its libraries that change bits. */
const settingsOfBits = [
  'TF_ENABLE_ONEDNN_OPTS',
  'ONEDNN_MAX_CPU_ISA',
  'ONEDNN_DEFAULT_FPMATH_MODE',
  'TF_XLA_FLAGS',
  'XLA_FLAGS',
  'NVIDIA_TF32_OVERRIDE',
];

/** On CPU the bits depend on the number of threads. */
function fingerprintOf(runtime: TensorFlowRuntime): string {
  const { backend, threads } = runtime;
  const device = backend.isUsingGpuDevice
    ? gpuName()
    : `${cpuName()}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  const settings = settingsOfBits.filter((name) => process.env[name]).map((name) => `${name}=${process.env[name]}`);
  const versions = `${runtime.packageName} ${runtime.packageVersion}, TensorFlow ${backend.binding.TF_Version}`;
  return [versions, device, ...settings].join(', ');
}

/** Device copies of the two vectors. */
type WeightTensors = { trainable: Tensor1D; movingStatistics: Tensor1D };
type RunNetwork<Tensors> = (weights: WeightTensors, images: Tensor4D, labels: Tensor1D) => Tensors;

class TensorFlowModel implements EngineModel {
  readonly #runtime: TensorFlowRuntime;
  readonly #resnet: ResNet;
  readonly #preprocessing: Preprocessing;
  #weights: WeightTensors | null = null;
  /** The preprocessed images, reused while slices keep their size. */
  #input = new Float32Array(0);

  constructor(runtime: TensorFlowRuntime, layout: ModelLayout, preprocessing: Preprocessing) {
    this.#runtime = runtime;
    this.#preprocessing = preprocessing;
    this.#resnet = createResNet(runtime, layout);
  }

  setWeights(weights: Float32Array, movingStatistics: Float32Array): void {
    const { tf } = this.#runtime;
    this.dispose();
    // A tensor may share its array's memory for as long as it lives, hence the copies.
    this.#weights = {
      trainable: tf.tensor1d(weights.slice()),
      movingStatistics: tf.tensor1d(movingStatistics.slice()),
    };
  }

  async computeSlice(batch: ImageBatch): Promise<SliceResult> {
    return this.#compute(
      batch,
      ({ trainable }, images, labels) => this.#resnet.gradientOf(trainable, images, labels),
      ({ gradientSum, batchStatistics }) => ({
        gradientSum: gradientSum.dataSync<'float32'>(),
        batchStatistics: batchStatistics.dataSync<'float32'>(),
      }),
    );
  }

  async evaluate(batch: ImageBatch): Promise<BatchResult> {
    return this.#compute(
      batch,
      ({ trainable, movingStatistics }, images, labels) =>
        this.#resnet.evaluate(trainable, movingStatistics, images, labels),
      () => ({}),
    );
  }

  dispose(): void {
    if (this.#weights !== null) this.#runtime.tf.dispose(this.#weights);
    this.#weights = null;
  }

  /**
   * Prepares the images, runs the network and reads what it gave.
   * @param readVectors what is read beyond loss and accuracy
   */
  #compute<Tensors extends EvaluationTensors, Vectors>(
    batch: ImageBatch,
    run: RunNetwork<Tensors>,
    readVectors: (tensors: Tensors) => Vectors,
  ): BatchResult & Vectors {
    const weights = this.#weights;
    if (weights === null) throw new LockstepError('engine-failed', 'the model has no weights: setWeights comes first');
    const startedAt = performance.now();
    const sampleCount = batch.indices.length;
    const inputSize = sampleCount * valuesPerImage;
    if (this.#input.length !== inputSize) this.#input = new Float32Array(inputSize);
    fillInput(batch, this.#preprocessing, this.#input);
    const preparedAt = performance.now();

    const { tf } = this.#runtime;
    const images = tf.tensor4d(this.#input, [sampleCount, imageSize, imageSize, imageChannels]);
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
