// Entry point of a model's additional threads in Node. Each thread computes its share of every job until a stop job.
import { parentPort, workerData } from 'node:worker_threads';
import { StepRunner, type RunnerOptions } from './step-runner.js';

const runner = new StepRunner(workerData as RunnerOptions);
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no target origin
parentPort?.postMessage('ready');
let last = 0;
try {
  while (true) {
    const job = runner.team.nextJob(last);
    if (job.kind === 'stop') break;
    last = job.number;
    runner.run(job);
  }
} catch (thrown) {
  runner.team.fail();
  throw thrown;
}
