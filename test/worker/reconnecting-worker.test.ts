// A worker whose coordinator is unreachable, under a fake clock.
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { startWorker } from '../../worker/main.js';
import { FakeClock } from '../support/fake-clock.js';
import { fakeEngine } from '../support/fake-engine.js';
import { freePort } from '../support/free-port.js';

async function startUnreachable() {
  const clock = new FakeClock();
  const url = `ws://127.0.0.1:${await freePort()}`;
  const worker = await startWorker({
    url,
    engine: fakeEngine(),
    cache: null,
    connectionThread: false,
    reconnectTimeoutMs: 60_000,
    clock,
  });
  return { clock, url, worker };
}

it('a worker gives up after `reconnectTimeoutMs`, and names the address, the time and the reason', async () => {
  const { clock, url, worker } = await startUnreachable();
  const attempts: { attempt: number; reason: string; atMs: number }[] = [];
  worker.events.on('reconnecting', ({ attempt, reason, delayMs }) => {
    attempts.push({ attempt, reason, atMs: clock.now() });
    // The reconnect delay starts after all listeners have been called.
    setImmediate(() => clock.advance(delayMs));
  });
  await expect(worker.done).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringMatching(
      new RegExp(
        `^${url} could not be reached for 60 s \\(.*ECONNREFUSED.*\\): check that the coordinator is running and accepts workers$`,
      ),
    ),
  });
  expect(attempts.map(({ attempt }) => attempt)).toEqual(attempts.map((_, index) => index + 1));
  expect(attempts.every(({ reason }) => reason.includes('ECONNREFUSED'))).toBe(true);
  // The last attempt was within the 60 s; the worker gave up at most one delay of 15 s after the timeout.
  expect(attempts.at(-1)!.atMs).toBeLessThanOrEqual(60_000);
  expect(clock.now()).toBeGreaterThan(60_000);
  expect(clock.now()).toBeLessThanOrEqual(75_000);
  expect(clock.running).toBe(0);
});

it('a worker that is stopped between two attempts ends immediately', async () => {
  const { clock, worker } = await startUnreachable();
  await once(worker.events, 'reconnecting');
  worker.stop('no longer needed');
  expect(await worker.done).toEqual({ reason: 'no longer needed', images: 0 });
  expect(clock.running).toBe(0);
});
