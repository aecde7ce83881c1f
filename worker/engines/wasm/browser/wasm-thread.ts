// Entry point of a model's additional threads in a browser.
import { StepRunner, type RunnerOptions } from '../step-runner.js';

self.addEventListener('message', ({ data }: MessageEvent<RunnerOptions>) => {
  const runner = new StepRunner(data);
  self.postMessage('ready');
  runner.runJobs();
});
