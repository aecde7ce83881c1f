// Program that tries one engine, in a separate process because a library built for another CPU may crash the process
// that loads it. Its argument is the name of the engine; it sends its answer over the IPC channel.
import { messageOf } from '../../../shared/errors.js';
import { resolveConfig } from '../../../shared/config/config.js';
import type { EngineName } from '../../../shared/engine-names.js';
import type { EngineIdentity } from '../../../shared/protocol/engine-identity.js';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import { graphOf } from '../../../shared/config/network-config.js';
import { layoutNetwork } from '../../../shared/network/layout.js';
import { openEngine } from '../../../worker/engines/registry.js';
import { measureModels } from '../../../worker/measurement/measure-models.js';
import type { ProbeAnswer } from './engines.js';
import { computeStep, relativeDistance, type ComputedStep } from './self-test.js';

async function probe(name: EngineName): Promise<ProbeAnswer> {
  try {
    const { identity, step, again } = await computeTwice(name);
    const expected = name === 'wasm' ? step : (await computeTwice('wasm')).step;
    return {
      loads: true,
      fingerprint: identity.fingerprint,
      sha256: step.sha256,
      repeats: step.sha256 === again.sha256,
      distanceFromWasm: relativeDistance(step.gradient, expected.gradient),
      imagesPerSecond: identity.onlyIfNamed === true ? null : await measureSpeed(name),
      ...(name === 'tensorflow' ? { tensorFlow: await describeTensorFlow() } : {}),
    };
  } catch (error) {
    const { TensorFlowNotLoaded } = await import('../../../worker/engines/tensorflow/load.js');
    const places = error instanceof TensorFlowNotLoaded ? [...error.locations] : [];
    return { loads: false, message: messageOf(error), places };
  }
}

async function computeTwice(
  name: EngineName,
): Promise<{ identity: EngineIdentity; step: ComputedStep; again: ComputedStep }> {
  const engine = await openEngine(name, { threads: 1 });
  try {
    const step = await computeStep(engine);
    return { identity: engine.identity, step, again: await computeStep(engine) };
  } finally {
    await engine.close();
  }
}

/** Measures ResNet-20 on the default slices. */
async function measureSpeed(name: EngineName): Promise<number> {
  const config = resolveConfig({});
  const layout = layoutNetwork(graphOf(config), cifar10Format);
  const engine = await openEngine(name, { threads: 1 });
  try {
    const model = await engine.createModel(layout, 'imagenet');
    const onFailure = (_index: number, error: unknown) => {
      throw error;
    };
    const [imagesPerSecond] = await measureModels([model], layout, config.batchSize / config.slices, onFailure);
    model.dispose();
    return imagesPerSecond!;
  } finally {
    await engine.close();
  }
}

async function describeTensorFlow() {
  const { loadTensorFlow } = await import('../../../worker/engines/tensorflow/load.js');
  const { packageName, folder, backend, oneDnn } = loadTensorFlow(1); // already loaded
  return {
    isGpuPackage: packageName === 'tfjs-node-gpu',
    usesGpu: backend.isUsingGpuDevice,
    folder,
    usesOneDnn: oneDnn === null ? null : oneDnn.isOn,
  };
}

process.send!(await probe(process.argv[2] as EngineName), () => process.disconnect());
