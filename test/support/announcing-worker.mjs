// A worker in a process of its own that computes with the wasm engine and tells its parent before each slice.
// announcing-worker.mjs URL NAME [STEP [MS]]: behind that step it waits before each slice until the parent says 'go on'.
// With MS it says that a slice took so long, so that who gets which slices does not depend on how busy the machine is.
import { startWorker } from '../../dist/worker/main.js';
import { openEngine } from '../../dist/worker/engines/registry.js';

const [url, name, holdBehind, saidMs] = process.argv.slice(2);
const { engine } = await openEngine('wasm', { threads: 1 });
let isBehind = false;
const released = new Promise((resolve) => {
  process.once('message', resolve);
});

async function createModel(layout, preprocessing) {
  const model = await engine.createModel(layout, preprocessing);
  return {
    setWeights: (...weights) => model.setWeights(...weights),
    async computeSlice(batch) {
      process.send('computing');
      if (isBehind) await released;
      const result = await model.computeSlice(batch);
      return saidMs === undefined ? result : { ...result, computeMs: Number(saidMs) };
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
  isBehind = step >= Number(holdBehind);
});
await worker.done;
await engine.close();
process.disconnect();
