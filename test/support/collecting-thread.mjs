// Collects its garbage once, in a thread of its own.
import { workerData } from 'node:worker_threads';
const { collectYoungGarbage } = await import(workerData);
collectYoungGarbage(2 ** 21);
