import { expect, it, vi } from 'vitest';
import type { WorkerConnection } from '../../../coordinator/connections/worker-connection.js';
import { WorkerPool } from '../../../coordinator/connections/worker-pool.js';
import { WorkerQuorum } from '../../../coordinator/connections/worker-quorum.js';
import { FakeClock } from '../../support/fake-clock.js';

/** A quorum that may wait 60 s, and what moves it. */
function watched(timeoutMs: number | null = 60_000) {
  const [pool, clock] = [new WorkerPool(), new FakeClock()];
  const [onWaiting, onTimeout] = [vi.fn<(needed: number) => void>(), vi.fn<(needed: number) => void>()];
  const onRest = vi.fn<() => void>();
  const quorum = new WorkerQuorum({ pool, clock, timeoutMs: timeoutMs ?? undefined, onWaiting, onRest, onTimeout });
  // The pool asks a worker for no more than its number.
  const worker = (id: number) => ({ id }) as WorkerConnection;
  return {
    quorum,
    clock,
    onWaiting,
    onRest,
    onTimeout,
    join: (id: number) => pool.add(worker(id)),
    leave: (id: number) => pool.remove(worker(id), 'gone'),
  };
}

it('tells of a wait once when it begins, and once when it is over', () => {
  const { quorum, onWaiting, onRest, join } = watched();
  quorum.need(2);
  join(1);
  quorum.need(2);
  expect(onWaiting.mock.calls).toEqual([[2]]);
  expect(onRest).not.toHaveBeenCalled();
  join(2);
  join(3);
  expect(onWaiting).toHaveBeenCalledTimes(1);
  expect(onRest).toHaveBeenCalledTimes(1);
});

it('tells again when another number is needed, and says nothing while enough are here', () => {
  const { quorum, onWaiting, join, leave } = watched();
  quorum.need(2);
  join(1);
  quorum.need(1);
  expect(onWaiting.mock.calls).toEqual([[2]]);
  leave(1);
  expect(onWaiting.mock.calls).toEqual([[2], [1]]);
});

it('a wait ends the run after its time, to the millisecond', () => {
  const { quorum, clock, onTimeout } = watched();
  quorum.need(1);
  clock.advance(59_999);
  expect(onTimeout).not.toHaveBeenCalled();
  clock.advance(1);
  expect(onTimeout.mock.calls).toEqual([[1]]);
});

it('each wait has the whole time, and time with enough workers counts for nothing', () => {
  const { quorum, clock, onTimeout, join, leave } = watched();
  quorum.need(2);
  clock.advance(50_000);
  join(1);
  join(2);
  expect(clock.running).toBe(0);
  clock.advance(1_000_000);
  leave(1);
  clock.advance(59_999);
  expect(onTimeout).not.toHaveBeenCalled();
  clock.advance(1);
  expect(onTimeout).toHaveBeenCalledTimes(1);
});

it('without a limit it waits for ever, and a closed one is silent', () => {
  const endless = watched(null);
  endless.quorum.need(1);
  expect(endless.clock.running).toBe(0);
  const { quorum, clock, onWaiting, onTimeout, join, leave } = watched();
  quorum.need(1);
  quorum.close();
  join(1);
  leave(1);
  clock.advance(60_000);
  expect(onWaiting).toHaveBeenCalledTimes(1);
  expect(onTimeout).not.toHaveBeenCalled();
});
