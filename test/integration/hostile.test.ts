// Hostile clients attack a run with two honest workers: its weights stay the same, every client is disconnected with
// the documented code, and neither memory nor sockets leak. `npm run test:hostile` sends 100,000 messages.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { fakeEngine } from '../support/fake-engine.js';
import { hostileActs, type Target } from '../support/hostile-peers.js';
import { hashWith, startCluster } from '../support/local-cluster.js';

const messages = Number(process.env['LOCKSTEP_HOSTILE_MESSAGES'] ?? 2_000);
const steps = 20;
const peersAtOnce = 16;
const maxGrowthBytes = 32 * 1024 * 1024;

setFlagsFromString('--expose_gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Returns the number of bytes that objects and buffers use. */
function bytesInUse(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
const openSockets = () => process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP')).length;

/** Only on Linux can each client use a separate address in 127.0.0.0/8. */
it.skipIf(process.platform !== 'linux')(
  `${messages} hostile messages neither change the weights of a run nor leak memory or sockets`,
  { timeout: 300_000 + 20 * messages },
  async () => {
    const honest = await hashWith(2, { steps });
    let sent = 0;
    let slices = 0;
    const waiting: (() => void)[] = [];
    const release = () => {
      for (const wake of waiting.splice(0)) wake();
    };
    // Paces the run to match the attack: slices in the first four steps do not wait, and the last slice waits for the
    // last message.
    const pace = async () => {
      const due = (messages * (slices++ - 16)) / (steps * 4 - 17);
      while (sent < Math.min(due, messages)) await new Promise<void>((resolve) => waiting.push(resolve));
    };
    const cluster = await startCluster({ minWorkers: 2, steps, stragglerFactor: 0 });
    const startedMs = performance.now();
    const refusals: string[] = [];
    cluster.coordinator.events.on('access', ({ message }) => refusals.push(message));
    try {
      for (let count = 0; count < 2; count++) await cluster.join({ engine: fakeEngine({ beforeSlice: pace }) });
      await once(cluster.coordinator.events, 'step');
      const target: Target = { port: cluster.coordinator.port, tooLong: 5 << 20, shard: 'f'.repeat(64) };
      const bytesBefore = bytesInUse();
      const socketsBefore = openSockets();
      const wrong: string[] = [];
      let seed = 0;
      async function attack(): Promise<void> {
        while (sent < messages) {
          const act = hostileActs[seed % hostileActs.length];
          const code = await act.run(target, ++seed * 7919);
          if (!act.expected.includes(code)) wrong.push(`${act.name}: ${code}`);
          sent += act.messages;
          release();
        }
      }
      await Promise.all(Array.from({ length: peersAtOnce }, attack));
      expect([...new Set(wrong)]).toEqual([]);
      sent = Infinity;
      release();
      const report = await cluster.coordinator.report;
      expect(report.weightsSha256).toBe(honest);
      expect(refusals.length).toBeGreaterThan(0);
      // connection-limiter.ts limits the number of log lines per minute.
      const minutes = Math.ceil((performance.now() - startedMs) / 60_000);
      expect(refusals.length).toBeLessThanOrEqual(50 * (minutes + 1));
      expect(openSockets()).toBeLessThanOrEqual(socketsBefore);
      expect(bytesInUse() - bytesBefore).toBeLessThan(maxGrowthBytes);
      expect(({} as Record<string, unknown>)['role']).toBeUndefined();
    } finally {
      sent = Infinity;
      release();
      await cluster.close();
    }
  },
);

it('1,000 idle or slow connections are dropped, and an honest worker can still join', async () => {
  const honest = await hashWith(1, { steps: 4 });
  const cluster = await startCluster({ steps: 4 });
  const { port } = cluster.coordinator;
  const sockets: Socket[] = [];
  try {
    const opened = Array.from({ length: 1000 }, async (_, index) => {
      const socket = connect({ port, host: '127.0.0.1', localAddress: `127.9.${index >> 6}.${1 + (index % 64)}` });
      socket.on('error', () => undefined);
      sockets.push(socket);
      await once(socket, 'connect').catch(() => undefined);
      // Every other connection sends only part of a request.
      if (index % 2 === 0) socket.write('GET /worker HT');
    });
    await Promise.all(opened);
    await cluster.join();
    expect((await cluster.coordinator.report).weightsSha256).toBe(honest);
  } finally {
    await cluster.close();
    for (const socket of sockets) socket.destroy();
  }
  expect(sockets.filter(({ destroyed }) => !destroyed)).toEqual([]);
});
