// A relay that is killed again and again does not change the weights. Uses real processes with the wasm engine.
// LOCKSTEP_RELAY_KILLS sets how often; each time takes one to two seconds.
import { expect, it } from 'vitest';
import { startCli, type CliProcess } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { clusterDataset, smallRun, startCluster } from '../support/local-cluster.js';

const kills = Number(process.env['LOCKSTEP_RELAY_KILLS'] ?? 2);
const stepsPerKill = 4;
const run = {
  ...smallRun,
  engine: 'wasm',
  slices: 8,
  dataset: clusterDataset,
  steps: stepsPerKill * (kills + 1),
} as const;

async function hashOfTrain(): Promise<string> {
  const cluster = await startCluster(run);
  try {
    await cluster.join({ engine: 'wasm' });
    return (await cluster.coordinator.report).weightsSha256;
  } finally {
    await cluster.close();
  }
}

it(`a relay killed ${kills} times in the middle of a step leaves the weights as they are`, async () => {
  const expected = await hashOfTrain();
  const cluster = await startCluster({ ...run, minWorkers: 2, pauseBelow: 2 });
  const { coordinator } = cluster;
  const port = await freePort();
  const processes: CliProcess[] = [];
  const start = (...args: string[]) => {
    const started = startCli([...args, '--no-cache']);
    processes.push(started);
    return started;
  };
  const startRelay = () => start('relay', coordinator.url, '--port', String(port), '--name', 'rack');
  try {
    let relay = startRelay();
    let killed = 0;
    const restartRelay = async () => {
      relay.child.kill('SIGKILL');
      await relay.exited;
      relay = startRelay();
    };
    // The relay has been sent its ranges. The run waits for the workers behind it before the next step.
    coordinator.events.on('broadcast', ({ step }) => {
      if (killed >= kills || step < stepsPerKill * (killed + 1)) return;
      killed++;
      void restartRelay();
    });
    await relay.says('listening');
    for (const name of ['attic', 'cellar']) {
      start('worker', `ws://127.0.0.1:${port}`, '--engine', 'wasm', '--name', name, '--quiet');
    }
    const report = await coordinator.report;
    expect(report).toMatchObject({ weightsSha256: expected, exact: true });
    expect(report.workersLost).toBe(2 * kills);
    const statuses = await Promise.all(processes.map(({ exited }) => exited));
    // Both workers and the last relay were told goodbye.
    expect(statuses.filter((status) => status === 0)).toHaveLength(3);
  } finally {
    for (const { child } of processes) child.kill('SIGKILL');
    await Promise.all(processes.map(({ exited }) => exited));
    await cluster.close();
  }
});
