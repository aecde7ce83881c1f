// Entry point of a model's additional threads in Node.
import { parentPort, workerData } from 'node:worker_threads';
import { StepRunner, type RunnerOptions } from './step-runner.js';

const runner = new StepRunner(workerData as RunnerOptions);
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no target origin
parentPort?.postMessage('ready');
runner.runJobs();
