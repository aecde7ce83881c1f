// A worker in a process of its own, as a user of the library starts it, with the wasm engine made slow: before each slice
// from one on it holds up its thread, as a long computation does, until its input has a byte for it or is closed.
// Arguments: the coordinator's URL, the worker's name, the first slice that is held up, counted from 1.
import { readSync, writeSync } from 'node:fs';
import { startWorker } from '../../dist/index.js';
import { openWasmEngine } from '../../dist/worker/engines/wasm/wasm-engine.js';

const [url, name, heldFrom] = process.argv.slice(2);
const engine = await openWasmEngine({ threads: 1 });
let slices = 0;

const slowEngine = {
  ...engine,
  async createModel(...args) {
    const model = await engine.createModel(...args);
    return {
      setWeights: (...weights) => model.setWeights(...weights),
      computeSlice(batch) {
        if (++slices >= Number(heldFrom)) {
          writeSync(1, `held in slice ${slices}\n`);
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
