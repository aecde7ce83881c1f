// Trains a small ResNet on this machine, in two worker processes, and prints the result.
import { synthesizeDataset, train } from 'lockstep';

const run = await train({
  // To train on CIFAR-10, run `npx lockstep data download data`, then replace `dataset` with `data: 'data'`.
  dataset: synthesizeDataset({ trainingImages: 1_000, testImages: 500 }),
  depth: 8,
  initialFilters: 8,
  batchSize: 100,
  epochs: 2,
  seed: 1,
  workers: 2,
  engine: 'wasm',
});
const { steps, test, weightsSha256 } = await run.report;
console.log(`${steps} steps; test loss ${test?.loss.toFixed(4)}, test accuracy ${test?.accuracy.toFixed(4)}`);
// The hash is the same on every machine and with any number of workers.
console.log(`SHA-256 of the weights: ${weightsSha256}`);
console.log(`Checkpoints and report.json: ${run.runDirectory}`);
