// A worker in a process of its own, as a user of the library starts it, with the wasm engine made slow: before each
// slice it holds up its thread, as a long computation does.
// Arguments: the coordinator's URL, the worker's name, milliseconds a slice.
import { startWorker } from '../../dist/index.js';
import { openWasmEngine } from '../../dist/worker/engines/wasm/wasm-engine.js';

const [url, name, delayMs] = process.argv.slice(2);
const engine = await openWasmEngine({ threads: 1 });
const nothing = new Int32Array(new SharedArrayBuffer(4));

const slowEngine = {
  ...engine,
  async createModel(...args) {
    const model = await engine.createModel(...args);
    return {
      setWeights: (...weights) => model.setWeights(...weights),
      computeSlice(batch) {
        Atomics.wait(nothing, 0, 0, Number(delayMs));
        return model.computeSlice(batch);
      },
      evaluate: (batch) => model.evaluate(batch),
      dispose: () => model.dispose(),
    };
  },
};

const worker = await startWorker({ url, name, engine: slowEngine, cache: null });
await worker.done;
