// Trains with workers in this process, to the end of the run or until it is stopped.
import { expect } from 'vitest';
import type { CoordinatorOptions } from '../../coordinator/main.js';
import type { Report } from '../../coordinator/run/report.js';
import { startCluster } from './local-cluster.js';

/** Trains to the end, or until step `until` is complete. @returns the report, undefined if the run was stopped */
export async function trainUntil(
  options: CoordinatorOptions,
  { workers = 1, until = Infinity } = {},
): Promise<Report | undefined> {
  const cluster = await startCluster({ minWorkers: workers, ...options });
  try {
    const { coordinator } = cluster;
    coordinator.events.on('step', ({ step }) => {
      if (step === until) coordinator.stop();
    });
    for (let count = 0; count < workers; count++) await cluster.join();
    if (until === Infinity) return await coordinator.report;
    await expect(coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
    return undefined;
  } finally {
    await cluster.close();
  }
}
