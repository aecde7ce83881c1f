// A worker process that uses the library, with a slowed-down wasm engine: starting with a given slice, it blocks its
// thread before each slice, like a long computation, until a byte arrives on stdin or stdin is closed. Arguments: the
// coordinator's URL, the worker's name, and the number of the first blocked slice, starting at 1.
import { readSync, writeSync } from 'node:fs';
import { startWorker } from '../../dist/index.js';
import { openWasmEngine } from '../../dist/worker/engines/wasm/wasm-engine.js';

const [url, name, blockedFrom] = process.argv.slice(2);
const engine = await openWasmEngine({ threads: 1 });
let slices = 0;

const slowEngine = {
  ...engine,
  async createModel(...args) {
    const model = await engine.createModel(...args);
    return {
      setWeights: (...weights) => model.setWeights(...weights),
      computeSlice(batch) {
        if (++slices >= Number(blockedFrom)) {
          writeSync(1, `blocked in slice ${slices}\n`);
          readSync(0, Buffer.alloc(1));
        }
        return model.computeSlice(batch);
      },
      evaluate: (batch) => model.evaluate(batch),
      dispose: () => model.dispose(),
    };
  },
};

const worker = await startWorker({ url, name, engine: slowEngine, cache: null });
await worker.done;
