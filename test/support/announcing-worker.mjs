// A worker process that notifies its parent before each slice. Usage: announcing-worker.mjs URL NAME [STEP [MS [ENGINE]]].
// After step STEP, the worker blocks before its next slice until the parent sends a message. With MS, it reports this computing
// time for each slice, so that assignments do not depend on the load of the machine; an empty MS is none. ENGINE is wasm by
// default.
import { startWorker } from '../../dist/worker/main.js';
import { openEngine } from '../../dist/worker/engines/registry.js';

const [url, name, holdAfter, reportedMs = '', engineName = 'wasm'] = process.argv.slice(2);
const engine = await openEngine(engineName, { threads: 1 });
let isHolding = false;
const released = new Promise((resolve) => {
  process.once('message', resolve);
});

async function createModel(layout, preprocessing) {
  const model = await engine.createModel(layout, preprocessing);
  return {
    setWeights: (...weights) => model.setWeights(...weights),
    async computeSlice(batch) {
      process.send('computing');
      if (isHolding) await released;
      const result = await model.computeSlice(batch);
      return reportedMs === '' ? result : { ...result, computeMs: Number(reportedMs) };
    },
    evaluate: (batch) => model.evaluate(batch),
    dispose: () => model.dispose(),
  };
}

const worker = await startWorker({
  url,
  name,
  token: process.env['LOCKSTEP_TOKEN'],
  cache: null,
  engine: { ...engine, identity: engine.identity, createModel },
});
worker.events.on('progress', ({ step }) => {
  isHolding = step >= Number(holdAfter);
});
await worker.done;
await engine.close();
process.disconnect();
