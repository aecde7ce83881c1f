// The tensorflow engine: opens TensorFlow and creates the fingerprint, which covers everything the bits depend on.
import type { Tensor4D } from '@tensorflow/tfjs-core';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import { describeProcessor } from '../../../shared/processor.js';
import type { Engine, EngineOptions, Precision } from '../../engine.js';
import { cpuName, gpuName } from './device-name.js';
import { loadTensorFlow, requestXla } from './load.js';
import { relu } from './network/activations.js';
import { describeOneDnn, oneDnnVariable } from './one-dnn.js';
import { computeUnitsOf, precisionPasses, type ComputeUnits } from './precision.js';
import type { TensorFlowRuntime } from './runtime.js';
import { TensorFlowModel } from './tensorflow-model.js';
import { trace } from './tracing/traced-function.js';

/**
 * Opens TensorFlow in this process. Throws `no-engine` if TensorFlow cannot be loaded, and `bad-option` for a precision
 * that the device does not support.
 */
export async function openTensorFlowEngine(options: EngineOptions): Promise<Engine> {
  const { threads, precision = 'float32', tensorFlowMode: mode = 'graph', xla = false } = options;
  if (xla) requestXla();
  const runtime = loadTensorFlow(threads);
  const units = computeUnitsOf(precision, runtime.backend.isUsingGpuDevice);
  assertPrecision(runtime, precision, units);
  const device = runtime.backend.isUsingGpuDevice ? gpuName() : describeProcessor(runtime.threads);
  return {
    identity: { engine: 'tensorflow', fingerprint: fingerprintOf(runtime, units, options), device },
    createModel: async (layout, preprocessing, labelSmoothing = 0) =>
      new TensorFlowModel(runtime, { layout, preprocessing, labelSmoothing, mode, precision, units }),
    close: async () => {}, // TensorFlow cannot be unloaded, and its threads belong to the process
  };
}

/** Throws `bad-option` if the device does not support convolutions in this precision. */
function assertPrecision(runtime: TensorFlowRuntime, precision: Precision, units: ComputeUnits): void {
  if (precision === 'float32') return;
  const { tf } = runtime;
  const gradientOf = (images: Tensor4D, kernel: Tensor4D) => {
    const lossOf = (kernel: Tensor4D) => tf.sum(relu(runtime, tf.conv2d(images, kernel, 1, 'same')));
    return { gradient: tf.grad((kernel) => lossOf(kernel as Tensor4D))(kernel) };
  };
  const inputs: [Tensor4D, Tensor4D] = [tf.ones([1, 4, 4, 4]), tf.ones([3, 3, 4, 4])];
  try {
    const traced = trace(runtime, gradientOf, inputs, precisionPasses(precision, units));
    tf.dispose(traced.call(...inputs));
    traced.dispose();
  } catch (error) {
    throw new LockstepError(
      'bad-option',
      `\`precision\` is ${precision}, but this device does not support convolutions in that precision (${messageOf(error)})`,
      { cause: error },
    );
  } finally {
    tf.dispose(inputs);
  }
}

/** Environment variables of TensorFlow and its libraries that change the bits of the results. */
const bitChangingVariables = [
  'ONEDNN_MAX_CPU_ISA',
  'ONEDNN_DEFAULT_FPMATH_MODE',
  'TF_XLA_FLAGS',
  'XLA_FLAGS',
  'NVIDIA_TF32_OVERRIDE',
];

/**
 * Creates the fingerprint. On CPUs, the bits depend on the number of threads and on oneDNN. They depend on the mode,
 * because TensorFlow optimizes graphs: it fuses operations, reorders sums, and on GPUs changes data layouts. Where it
 * is unknown whether oneDNN is on, the fingerprint contains its variable.
 */
function fingerprintOf(
  runtime: TensorFlowRuntime,
  units: ComputeUnits,
  { precision, tensorFlowMode }: EngineOptions,
): string {
  const { backend, threads, oneDnn } = runtime;
  const device = backend.isUsingGpuDevice
    ? gpuName()
    : `${cpuName()}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  const mode = tensorFlowMode === 'eager' ? ['eager'] : [];
  const settings = [...(oneDnn === null ? [oneDnnVariable] : []), ...bitChangingVariables]
    .filter((name) => process.env[name])
    .map((name) => `${name}=${process.env[name]}`);
  const oneDnnOnCpu = oneDnn === null || backend.isUsingGpuDevice ? [] : describeOneDnn(oneDnn);
  const versions = `${runtime.packageName} ${runtime.packageVersion}, TensorFlow ${backend.binding.TF_Version}`;
  const reduced =
    precision === undefined || precision === 'float32'
      ? []
      : [units === 'native' ? precision : `${precision} in ${units} units`];
  return [versions, device, ...mode, ...reduced, ...oneDnnOnCpu, ...settings].join(', ');
}
