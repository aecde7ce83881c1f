// Asks the connected workers to measure their engines, and collects the answers.
import type { Clock } from '../../shared/clock.js';
import type { EngineIdentity } from '../../shared/protocol/engine-identity.js';
import type { WorkerConnection } from '../connections/worker-connection.js';
import { interruption, type WorkerPool } from '../connections/worker-pool.js';
import type { MeasuredWorker } from './choose-engine.js';

/** Time after which a worker that has not answered counts as having measured nothing. */
const timeoutMs = 120_000;

/**
 * Returns the speeds that each worker measured. Workers that leave or do not answer in time are missing. Rejects when
 * the signal is aborted.
 * @param isAllowed whether the run may use an engine
 */
export async function measureEngines(
  pool: WorkerPool,
  isAllowed: (engine: EngineIdentity) => boolean,
  clock: Clock,
  signal: AbortSignal,
): Promise<MeasuredWorker[]> {
  const waiting = new Set<WorkerConnection>();
  const measured: MeasuredWorker[] = [];
  await new Promise<void>((resolve, reject) => {
    const settle = (action: () => void) => {
      stopTimer();
      stopListening();
      signal.removeEventListener('abort', onAbort);
      action();
    };
    const answered = (worker: WorkerConnection) => {
      if (waiting.delete(worker) && waiting.size === 0) settle(resolve);
    };
    const onAbort = () => settle(() => reject(interruption(signal)));
    const stopTimer = clock.after(timeoutMs, () => settle(resolve));
    const stopListening = pool.listen({
      measured: (worker, speeds) => {
        measured.push(measuredBy(worker, speeds));
        answered(worker);
      },
      left: answered,
    });
    signal.addEventListener('abort', onAbort);
    for (const worker of pool.workers) {
      waiting.add(worker);
      worker.measure(worker.offers.filter(isAllowed).map(({ fingerprint }) => fingerprint));
    }
  });
  return measured;
}

/** Returns the speeds that a worker measured, or those that a relay added up over its workers. */
export function measuredBy({ offers, relayed }: WorkerConnection, speeds: ReadonlyMap<string, number>): MeasuredWorker {
  return { offers, speeds, workersWith: (fingerprint) => relayed?.countOffering(fingerprint) ?? 1 };
}
