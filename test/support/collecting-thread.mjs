// Collects its garbage once, in a thread of its own.
import { workerData } from 'node:worker_threads';
const { collectYoungGeneration } = await import(workerData);
collectYoungGeneration(2 ** 21);
