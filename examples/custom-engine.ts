// Trains on a custom dataset with a custom engine, using a coordinator and a worker in this process. The engine
// computes only the dense layer of the network, as a softmax regression on a few of the image's pixels. The gradients
// of the other layers are 0.
import { fillInput, labelsOf, LockstepError, startCoordinator, startWorker } from 'lockstep';
import type { Dataset, Engine, EngineModel, ImageBatch, ModelLayout, Preprocessing } from 'lockstep';

function createModel(layout: ModelLayout, preprocessing: Preprocessing): EngineModel {
  const dense = layout.layers.at(-1);
  if (dense?.op !== 'dense' || dense.bias === null) {
    throw new LockstepError(
      'bad-config',
      'the softmax engine needs a dense layer with a bias at the end of the network',
    );
  }
  const [kernel, bias, classes] = [dense.kernel.offset, dense.bias.offset, dense.units];
  const inputs = dense.kernel.size / classes;
  let weights = new Float32Array(layout.weightsSize);

  async function compute(batch: ImageBatch) {
    const startMs = performance.now();
    const sampleCount = batch.indices.length;
    const { imageValues } = batch.format;
    const pixels = new Float32Array(sampleCount * imageValues);
    fillInput(batch, preprocessing, pixels); // crops, flips and preprocesses
    const [gradientSum, logits] = [new Float32Array(layout.weightsSize), new Float32Array(sampleCount * classes)];
    let [lossSum, correctCount] = [0, 0];
    for (const [image, label] of labelsOf(batch).entries()) {
      const x = Float32Array.from({ length: inputs }, (_, i) => pixels[Math.floor((image + i / inputs) * imageValues)]);
      const y = logits.subarray(image * classes, (image + 1) * classes);
      for (let c = 0; c < classes; c++) {
        y[c] = x.reduce((sum, value, i) => sum + value * weights[kernel + i * classes + c], weights[bias + c]);
      }
      const logSumExp = Math.log(y.reduce((sum, logit) => sum + Math.exp(logit), 0));
      lossSum += logSumExp - y[label];
      if (y[label] === Math.max(...y)) correctCount++;
      for (let c = 0; c < classes; c++) {
        const gradient = Math.exp(y[c] - logSumExp) - (c === label ? 1 : 0);
        gradientSum[bias + c] += gradient;
        for (let i = 0; i < inputs; i++) gradientSum[kernel + i * classes + c] += x[i] * gradient;
      }
    }
    const batchStatistics = new Float32Array(layout.statisticsSize); // zeros: this engine has no batch norm
    const times = { augmentMs: 0, computeMs: performance.now() - startMs }; // not measured separately
    return { sampleCount, lossSum, correctCount, gradientSum, batchStatistics, logits, ...times };
  }
  const setWeights = (newWeights: Float32Array) => void (weights = newWeights.slice());
  return { setWeights, computeSlice: compute, evaluate: compute, dispose: () => {} };
}

const engine: Engine = {
  // Workers with equal fingerprints must compute the same bits. The results of Math.exp depend on the version of V8.
  identity: { engine: 'softmax', fingerprint: `softmax/1-v8-${process.versions.v8}`, device: 'CPU' },
  async createModel(layout, preprocessing, labelSmoothing = 0) {
    if (labelSmoothing !== 0)
      throw new LockstepError('bad-config', 'the softmax engine does not support label smoothing');
    return createModel(layout, preprocessing);
  },
  close: async () => {},
};

const [size, recordBytes] = [16, 1 + 16 * 16];
/** Returns gray images: each record is a label byte, then the pixels row by row. The classes are shades of gray. */
function grays(count: number): Uint8Array {
  const label = (byte: number) => Math.floor(byte / recordBytes) % 10;
  return Uint8Array.from(
    { length: count * recordBytes },
    (_, byte) => (byte % recordBytes === 0 ? 1 : 25) * label(byte),
  );
}

const classNames = Array.from({ length: 10 }, (_, label) => `gray ${25 * label}`);
const dataset: Dataset = {
  description: { name: 'grays', height: size, width: size, channels: 1, classNames, fit: null },
  training: grays(2_000),
  validation: null,
  test: grays(500),
  source: 'shades of gray',
};
const options = { depth: 8, initialFilters: 4, batchSize: 100, epochs: 5, learningRate: 0.3, augment: false };
const coordinator = await startCoordinator({ dataset, port: 0, preprocessing: 'standardize', ...options });
await startWorker({ url: coordinator.url, engine, cache: null });
const { test, exact } = await coordinator.report;
console.log(`test accuracy ${test?.accuracy}, where guessing gives 0.1; exact: ${exact}`);
