// Networks of each kind with the wasm engine: the weights depend neither on the number of workers, nor on a worker that is
// killed in the middle of a step, nor on an interruption of the run.
import { rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import { importNetwork } from '../../inference/import/import-network.js';
import { saveNetwork } from '../../inference/import/save-network.js';
import type { NetworkGraph } from '../../shared/network/graph.js';
import { parseGraph } from '../../shared/network/graph-schema.js';
import { parseNetworkChoice } from '../../shared/network/networks/registry.js';
import { openWasmEngine } from '../../worker/engines/wasm/wasm-engine.js';
import { startWorker } from '../../worker/main.js';
import { startFaulted } from '../support/faulted-cluster.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { kerasFile, layer, rising, sequential } from '../support/keras-file.js';
import { startCluster } from '../support/local-cluster.js';
import { noiseDataset } from '../support/noise-dataset.js';
import { everyOperation } from '../support/sample-graphs.js';

const inFolder = folderPerFile();
const engine = await openWasmEngine({ threads: 1 }, 'wasm');

/** Three steps in the second of which the run is interrupted. Look-ahead moves the weights after steps 2 and 3. */
const steps = 3;
const common = {
  depth: undefined,
  initialFilters: undefined,
  steps,
  batchSize: 8,
  slices: 4,
  learningRate: 0.01,
  lookAhead: 2,
  tensorboard: false,
} as const;

function images(side: number, channels: 1 | 3 = 3, classCount = 4) {
  return noiseDataset({ height: side, width: side, channels, classCount }, { training: 30, test: 0 });
}

function narrowResnet18(): NetworkGraph {
  const graph = parseNetworkChoice('resnet18', 'network').build!();
  const nodes = graph.nodes.map((node) => (node.op === 'conv2d' ? { ...node, filters: node.filters / 16 } : node));
  return { ...graph, nodes };
}

/** Imports a model with preprocessing, dropout and a frozen layer, in the form in which Keras saves it. */
async function importedModel(): Promise<CoordinatorOptions> {
  const model = sequential(
    [12, 12, 3],
    layer('Rescaling', 'rescaling', { scale: 1 / 255 }),
    layer('Conv2D', 'conv', { filters: 8, kernel_size: [3, 3], activation: 'relu', trainable: false }),
    layer('DepthwiseConv2D', 'depthwise', { kernel_size: [3, 3], use_bias: false }),
    layer('Dropout', 'dropout', { rate: 0.25 }),
    layer('GlobalAveragePooling2D', 'pool'),
    layer('Dense', 'logits', { units: 4 }),
  );
  const file = inFolder('model.keras');
  await writeFile(
    file,
    await kerasFile(model, [
      rising('layers/conv2d/vars/0', 3, 3, 3, 8),
      rising('layers/conv2d/vars/1', 8),
      rising('layers/depthwise_conv2d/vars/0', 3, 3, 8, 1),
      rising('layers/dense/vars/0', 8, 4),
      rising('layers/dense/vars/1', 4),
    ]),
  );
  const network = await importNetwork(file);
  const weights = inFolder('model.safetensors');
  await saveNetwork(network, { out: inFolder('model.json'), weights });
  // The weights of the file are large, so this rate keeps them finite.
  const learningRate = 1e-6;
  const options = { initialWeights: weights, preprocessing: 'none', learningRate } as const;
  return { network: network.graph, dataset: images(12), ...options };
}

const kinds: [string, () => CoordinatorOptions | Promise<CoordinatorOptions>][] = [
  ['ResNet-18 with 1/16 of its filters', () => ({ network: narrowResnet18(), dataset: images(64) })],
  [
    'a wide ResNet whose first layers are frozen',
    () => ({ network: 'wide-resnet:depth=10,width=1', dataset: images(16), freeze: ['stem/*', 'group1/*'] }),
  ],
  ['MobileNetV2', () => ({ network: 'mobilenet:width=0.25,stem=small', dataset: images(16) })],
  ['the speedrun network', () => ({ network: 'speedrun', dataset: images(28), preprocessing: 'standardize' })],
  ['a multilayer perceptron for digits', () => ({ network: 'mlp:hidden=32-16', dataset: images(28, 1, 10) })],
  ['a network with every operation', () => ({ network: parseGraph(everyOperation, 'network'), dataset: images(9) })],
  ['an imported Keras model', importedModel],
];

async function hashWith(workerCount: number, options: CoordinatorOptions): Promise<string> {
  const cluster = await startCluster({ ...common, minWorkers: workerCount, ...options });
  try {
    for (let count = 0; count < workerCount; count++) await cluster.join({ engine });
    const { weightsSha256, workersJoined, exact } = await cluster.coordinator.report;
    expect({ workersJoined, exact }).toEqual({ workersJoined: workerCount, exact: true });
    return weightsSha256;
  } finally {
    await cluster.close();
  }
}

/** Kills the first of two workers while it computes a slice of the second step. */
async function hashAfterDeath(options: CoordinatorOptions): Promise<string> {
  const cluster = await startFaulted({ ...common, ...options });
  const victim = await cluster.startAnnouncing('w1');
  await once(cluster.coordinator.events, 'worker-joined');

  let slicesLeft = common.slices + 2;
  victim.child.on('message', () => {
    if (--slicesLeft === 0) victim.child.kill('SIGKILL');
  });
  await once(cluster.coordinator.events, 'worker-lost');
  const survivor = await startWorker({ url: cluster.coordinator.url, engine, cache: null, connectionThread: false });
  const { weightsSha256, workersLost } = await cluster.finish();
  await survivor.done;
  expect(workersLost).toBe(1);
  return weightsSha256;
}

async function hashAfterInterruption(options: CoordinatorOptions): Promise<string> {
  const runDir = inFolder('interrupted');
  const first = await startCluster({ ...common, ...options, runDir });
  first.coordinator.events.on('step', ({ step }) => {
    if (step === 1) first.coordinator.stop();
  });
  await first.join({ engine });
  await expect(first.coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
  await first.close();
  const { dataset } = options;
  const resumed = await startCluster({ ...common, learningRate: undefined, dataset, runDir, resume: true });
  await resumed.join({ engine });
  const { weightsSha256, exact } = await resumed.coordinator.report;
  expect(exact).toBe(true);
  await resumed.close();
  await rm(runDir, { recursive: true });
  return weightsSha256;
}

describe.each(kinds)('%s has the weights of a run with one worker', (_, optionsOf) => {
  it('with three workers, after the death of a worker in the middle of a step, and after resuming', async () => {
    const options = await optionsOf();
    const expected = await hashWith(1, options);
    expect(await hashWith(3, options)).toBe(expected);
    expect(await hashAfterDeath(options)).toBe(expected);
    expect(await hashAfterInterruption(options)).toBe(expected);
  });
});
