// Worker process of the exchange benchmark: a real worker whose engine computes nothing, or a plain TCP client.
import { connect } from 'node:net';
import { setV8Flags } from '../../cli/process/v8-flags.js';
import { cifar10Format } from '../../shared/dataset/cifar10-layout.js';
import { systemClock } from '../../shared/clock.js';
import { startWorker } from '../../worker/main.js';
import type { BatchResult, Engine } from '../../worker/engine.js';

// As in the processes of the command line.
setV8Flags();
const { classCount } = cifar10Format;

const emptyResult: BatchResult = { sampleCount: 1, lossSum: 0, correctCount: 0, augmentMs: 0, computeMs: 0.001 };

const idleEngine: Engine = {
  identity: { engine: 'idle', fingerprint: 'idle', device: 'none' },
  createModel(layout) {
    const gradientSum = new Float32Array(layout.weightsSize).fill(1);
    const batchStatistics = new Float32Array(layout.statisticsSize);
    return Promise.resolve({
      setWeights: () => undefined,
      computeSlice: () => Promise.resolve({ ...emptyResult, gradientSum, batchStatistics }),
      evaluate: () => Promise.resolve({ ...emptyResult, logits: new Float32Array(classCount) }),
      dispose: () => undefined,
    });
  },
  close: () => Promise.resolve(),
};

const [kind, address = '', byteCount = ''] = process.argv.slice(2);
if (kind === 'lockstep') {
  const worker = await startWorker({ url: address, engine: idleEngine, cache: null, clock: systemClock });
  await worker.done;
  process.disconnect();
} else {
  const bytes = Number(byteCount);
  const weights = Buffer.alloc(bytes);
  const answer = Buffer.alloc(bytes);
  let received = 0;
  const socket = connect({
    port: Number(address),
    host: '127.0.0.1',
    noDelay: true,
    // Node.js reads into this memory without an intermediate buffer.
    onread: {
      buffer: () => weights.subarray(received),
      callback(length) {
        received += length;
        if (received < bytes) return true;
        received = 0;
        socket.write(answer);
        return true;
      },
    },
  });
}
