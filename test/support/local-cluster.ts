// A coordinator and workers in this process, over real WebSockets on loopback, with a few synthetic images.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startCoordinator, type Coordinator, type CoordinatorOptions } from '../../coordinator/main.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { startWorker, type Worker, type WorkerOptions } from '../../worker/main.js';
import { fakeEngine } from './fake-engine.js';

/** Images of the clusters: 360 for training, 40 for validation and 300 for the test. */
export const clusterDataset = synthesizeDataset({ trainingImages: 400, testImages: 300 });

/** Configuration for a small run with the fake engine: 360 training images, 11 steps per epoch. */
export const smallRun = { depth: 8, initialFilters: 4, batchSize: 32, steps: 14, seed: 5 } as const;

export interface Cluster {
  coordinator: Coordinator;
  /** Workers, in the order in which `join` started them. */
  workers: readonly Worker[];
  /** Starts another worker. */
  join(options?: Partial<WorkerOptions>): Promise<Worker>;
  /** Stops everything and removes the run directory. */
  close(): Promise<void>;
}

export async function startCluster(options: CoordinatorOptions = {}): Promise<Cluster> {
  const folder = await mkdtemp(path.join(tmpdir(), 'lockstep-test-'));
  const workers: Worker[] = [];
  const coordinator = await startCoordinator({
    ...smallRun,
    port: 0,
    dataset: clusterDataset,
    runDir: path.join(folder, 'run'),
    ...options,
  }).catch(async (error: unknown) => {
    await rm(folder, { recursive: true });
    throw error;
  });
  return {
    coordinator,
    workers,
    async join(workerOptions = {}) {
      const worker = await startWorker({
        url: coordinator.url,
        engine: fakeEngine(),
        cache: null,
        // The fake engine yields after every slice, so the connection needs no thread.
        connectionThread: false,
        ...workerOptions,
      });
      workers.push(worker);
      return worker;
    },
    async close() {
      coordinator.stop();
      for (const worker of workers) worker.stop('the test has ended');
      await Promise.allSettled([coordinator.report, ...workers.map((worker) => worker.done)]);
      await rm(folder, { recursive: true });
    },
  };
}

/** Trains with the given number of workers. @returns the SHA-256 of the final weights */
export async function hashWith(workerCount: number, options: CoordinatorOptions = {}): Promise<string> {
  const cluster = await startCluster({ minWorkers: workerCount, ...options });
  try {
    for (let count = 0; count < workerCount; count++) await cluster.join();
    return (await cluster.coordinator.report).weightsSha256;
  } finally {
    await cluster.close();
  }
}
