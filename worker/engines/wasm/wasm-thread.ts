// Program of a model's additional threads in Node: computes its share of each job until the job that stops it.
import { parentPort, workerData } from 'node:worker_threads';
import { StepRunner, type RunnerOptions } from './step-runner.js';

const runner = new StepRunner(workerData as RunnerOptions);
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, which has no origin
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
