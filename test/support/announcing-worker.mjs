// A worker process with the wasm engine that sends its parent a message before each slice.
// Usage: announcing-worker.mjs URL NAME [STEP [MS]]
// After step STEP it waits before each slice until its parent has sent a message. It reports MS as the computation time of every
// slice, so that assignments do not depend on how busy the machine is.
import { startWorker } from '../../dist/worker/main.js';
import { openEngine } from '../../dist/worker/engines/registry.js';

const [url, name, holdAfterStep, reportedMs] = process.argv.slice(2);
const { engine } = await openEngine('wasm', { threads: 1 });
let isHeld = false;
const released = new Promise((resolve) => {
  process.once('message', resolve);
});

async function createModel(layout, preprocessing) {
  const model = await engine.createModel(layout, preprocessing);
  return {
    setWeights: (...weights) => model.setWeights(...weights),
    async computeSlice(batch) {
      process.send('computing');
      if (isHeld) await released;
      const result = await model.computeSlice(batch);
      return reportedMs === undefined ? result : { ...result, computeMs: Number(reportedMs) };
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
  isHeld = step >= Number(holdAfterStep);
});
await worker.done;
await engine.close();
process.disconnect();
