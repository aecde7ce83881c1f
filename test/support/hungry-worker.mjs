// A worker process with the wasm engine that runs out of memory during its sixth slice. Arguments: the coordinator's
// URL and the worker's name.
import { startWorker } from '../../dist/worker/main.js';
import { openEngine } from '../../dist/worker/engines/registry.js';

const [url, name] = process.argv.slice(2);
const engine = await openEngine('wasm', { threads: 1 });
let slices = 0;
const retained = [];

async function createModel(layout, preprocessing) {
  const model = await engine.createModel(layout, preprocessing);
  return {
    setWeights: (...weights) => model.setWeights(...weights),
    computeSlice(batch) {
      if (++slices === 6) for (;;) retained.push(Array.from({ length: 1_000_000 }, (_, i) => ({ i })));
      return model.computeSlice(batch);
    },
    evaluate: (batch) => model.evaluate(batch),
    dispose: () => model.dispose(),
  };
}

const worker = await startWorker({
  url,
  name,
  cache: null,
  engine: { ...engine, identity: engine.identity, createModel },
});
await worker.done;
