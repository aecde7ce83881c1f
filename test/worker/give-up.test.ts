// How long a worker knocks where nobody is. Time is the test's.
import { expect, it } from 'vitest';
import { startWorker } from '../../worker/main.js';
import { FakeClock } from '../support/fake-clock.js';
import { fakeEngine } from '../support/fake-engine.js';
import { freePort } from '../support/free-port.js';

it('gives up behind --reconnect-timeout, and names the address, the time and the reason', async () => {
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
  const attempts: { attempt: number; reason: string; atMs: number }[] = [];
  worker.events.on('reconnecting', ({ attempt, reason, delayMs }) => {
    attempts.push({ attempt, reason, atMs: clock.now() });
    // The pause begins when all have been told of it.
    setImmediate(() => clock.advance(delayMs));
  });
  await expect(worker.done).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringMatching(
      new RegExp(`^${url} could not be reached for 60 s \\(.*ECONNREFUSED.*\\): is the coordinator running there\\?$`),
    ),
  });
  expect(attempts.map(({ attempt }) => attempt)).toEqual(attempts.map((_, index) => index + 1));
  expect(attempts.every(({ reason }) => reason.includes('ECONNREFUSED'))).toBe(true);
  // It still knocked within its time, and one pause of 15 s at the most later it gave up.
  expect(attempts.at(-1)!.atMs).toBeLessThanOrEqual(60_000);
  expect(clock.now()).toBeGreaterThan(60_000);
  expect(clock.now()).toBeLessThanOrEqual(75_000);
  expect(clock.running).toBe(0);
});
