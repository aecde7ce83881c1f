// Follows a run: prints a line for some of its events, and records the loss of every step.
import { synthesizeDataset, train } from 'lockstep';

const run = await train({
  dataset: synthesizeDataset({ trainingImages: 1_000, testImages: 200 }),
  depth: 8,
  initialFilters: 4,
  batchSize: 100,
  epochs: 2,
  workers: 2,
  engine: 'wasm',
});

// Listeners added here receive every event: a run emits its first event only after `train` has returned.
const losses: number[] = [];
run.events.on('step', ({ loss }) => losses.push(loss));
run.events.on('worker-joined', ({ name, device }) => console.log(`${name} joined, computing on ${device}`));
run.events.on('worker-lost', ({ name, reason }) => console.log(`${name} left: ${reason}`));
run.events.on('validation', ({ epoch, accuracy }) => console.log(`epoch ${epoch}: validation accuracy ${accuracy}`));
run.events.on('checkpoint', ({ step, path }) => console.log(`checkpoint after step ${step}: ${path}`));

await run.report;
const format = (loss: number | undefined) => loss?.toFixed(4);
console.log(`training loss: ${format(losses[0])} in the first step, ${format(losses.at(-1))} in the last`);
