// The engine that computes with TensorFlow: opens it, and says what its bits depend on.
import type { Tensor4D } from '@tensorflow/tfjs-core';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import { processorInWords } from '../../../shared/processor.js';
import type { Engine, EngineOptions, Precision } from '../../engine.js';
import { cpuName, gpuName } from './device-name.js';
import { relu } from './differentiable.js';
import { askForXla, loadTensorFlow } from './load.js';
import { lowerTo, shortUnitsOf, type ShortUnits } from './precision.js';
import type { TensorFlowRuntime } from './runtime.js';
import { TensorFlowModel } from './tensorflow-model.js';
import { trace } from './tracing/traced-function.js';

/**
 * Opens TensorFlow in this process. Throws `no-engine` where it does not load, and `bad-option` for a precision that the
 * device or the mode does not have.
 */
export async function openTensorFlowEngine(options: EngineOptions): Promise<Engine> {
  const { threads, precision = 'float32', tensorFlowMode: mode = 'graph', xla = false } = options;
  if (xla) askForXla();
  const runtime = loadTensorFlow(threads);
  const units = shortUnitsOf(precision, runtime.backend.isUsingGpuDevice);
  assertPrecision(runtime, precision, units);
  const device = runtime.backend.isUsingGpuDevice ? gpuName() : processorInWords(runtime.threads);
  return {
    identity: { engine: 'tensorflow', fingerprint: fingerprintOf(runtime, units, options), device },
    createModel: async (layout, preprocessing, labelSmoothing = 0) =>
      new TensorFlowModel(runtime, { layout, preprocessing, labelSmoothing, mode, precision, units }),
    close: async () => {}, // its threads are the process's: TensorFlow cannot be unloaded
  };
}

/** Throws `bad-option` where the device has no convolutions of this type. */
function assertPrecision(runtime: TensorFlowRuntime, precision: Precision, units: ShortUnits): void {
  if (precision === 'float32') return;
  const { tf } = runtime;
  const gradientOf = (images: Tensor4D, kernel: Tensor4D) => {
    const lossOf = (kernel: Tensor4D) => tf.sum(relu(runtime, tf.conv2d(images, kernel, 1, 'same')));
    return { gradient: tf.grad((kernel) => lossOf(kernel as Tensor4D))(kernel) };
  };
  const inputs: [Tensor4D, Tensor4D] = [tf.ones([1, 4, 4, 4]), tf.ones([3, 3, 4, 4])];
  try {
    const trial = trace(runtime, gradientOf, inputs, lowerTo(precision, units));
    tf.dispose(trial.call(...inputs));
    trial.dispose();
  } catch (error) {
    throw new LockstepError(
      'bad-option',
      `--precision ${precision} cannot be had: this device computes no convolutions in it (${messageOf(error)})`,
      { cause: error },
    );
  } finally {
    tf.dispose(inputs);
  }
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

/** On CPU the bits depend on the number of threads, and not on the mode. */
function fingerprintOf(
  runtime: TensorFlowRuntime,
  units: ShortUnits,
  { precision, tensorFlowMode }: EngineOptions,
): string {
  const { backend, threads } = runtime;
  const device = backend.isUsingGpuDevice
    ? // There TensorFlow changes a graph's layout and fuses operations.
      `${gpuName()}${tensorFlowMode === 'eager' ? ', eager' : ''}`
    : `${cpuName()}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  const settings = settingsOfBits.filter((name) => process.env[name]).map((name) => `${name}=${process.env[name]}`);
  const versions = `${runtime.packageName} ${runtime.packageVersion}, TensorFlow ${backend.binding.TF_Version}`;
  const lowered =
    precision === undefined || precision === 'float32'
      ? []
      : [units === 'native' ? precision : `${precision} in ${units} units`];
  return [versions, device, ...lowered, ...settings].join(', ');
}
