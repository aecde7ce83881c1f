// Simulated workers of the scale benchmark: real workers, one per argument, whose engine answers at once with the same
// gradient. It claims to have computed for a minute, so that waiting for a core does not count and the scheduler gives each
// worker as many slices.
import { once } from 'node:events';
import { setV8Flags } from '../../../cli/process/v8-flags.js';
import { cifar10Format } from '../../../shared/dataset/cifar10-layout.js';
import type { ModelLayout } from '../../../shared/network/layout.js';
import type { BatchResult, Engine } from '../../../worker/engine.js';
import { startWorker } from '../../../worker/main.js';

// As in the processes of the command line.
setV8Flags();

const result: BatchResult = { sampleCount: 1, lossSum: 2, correctCount: 1, augmentMs: 0, computeMs: 60_000 };
/** Results of all workers in this process, which only read them. */
let shared: { gradientSum: Float32Array; batchStatistics: Float32Array } | undefined;

function resultFor({ weightsSize, statisticsSize }: ModelLayout) {
  return {
    gradientSum: Float32Array.from({ length: weightsSize }, (_, index) => Math.sin(index) / 1000),
    batchStatistics: new Float32Array(statisticsSize).fill(0.5),
  };
}

const engine: Engine = {
  identity: { engine: 'simulated', fingerprint: 'simulated/1', device: 'none' },
  createModel(layout) {
    const sums = (shared ??= resultFor(layout));
    return Promise.resolve({
      setWeights: () => undefined,
      computeSlice: () => Promise.resolve({ ...result, ...sums }),
      evaluate: () => Promise.resolve({ ...result, logits: new Float32Array(cifar10Format.classCount) }),
      dispose: () => undefined,
    });
  },
  close: () => Promise.resolve(),
};

const ended: Promise<unknown>[] = [];
for (const [index, url] of process.argv.slice(2).entries()) {
  const name = `worker-${process.pid}-${index}`;
  const worker = await startWorker({ url, name, engine, cache: null, connectionThread: false });
  ended.push(worker.done);
  // One after the other, because a thread that opens many connections is late with each hello.
  await once(worker.events, 'joined');
}
await Promise.all(ended);
process.disconnect();
