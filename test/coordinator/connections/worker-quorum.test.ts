import { describe, expect, it, vi } from 'vitest';
import type { WorkerConnection } from '../../../coordinator/connections/worker-connection.js';
import { WorkerPool } from '../../../coordinator/connections/worker-pool.js';
import { WorkerQuorum } from '../../../coordinator/connections/worker-quorum.js';
import { LockstepError } from '../../../shared/errors.js';
import { FakeClock } from '../../support/fake-clock.js';

/** Creates a quorum with a timeout (60 s by default), mock handlers, and functions that let workers join and leave. */
function watched(timeoutMs: number | null = 60_000) {
  const [pool, clock] = [new WorkerPool(), new FakeClock()];
  const onWaiting = vi.fn<(needed: number) => void>();
  const onEnough = vi.fn<() => void>();
  const onTimeout = vi.fn<(error: LockstepError) => void>();
  const quorum = new WorkerQuorum(pool, clock, timeoutMs ?? undefined, { onWaiting, onEnough, onTimeout });
  // The pool uses nothing else of a worker.
  const worker = (id: number) => ({ id, parallelism: 1 }) as WorkerConnection;
  return {
    quorum,
    clock,
    onWaiting,
    onEnough,
    onTimeout,
    join: (id: number) => pool.add(worker(id)),
    leave: (id: number) => pool.remove(worker(id), 'gone'),
  };
}

it('a quorum reports a wait once when it starts and once when it is over', () => {
  const { quorum, onWaiting, onEnough, join } = watched();
  quorum.need(2);
  join(1);
  quorum.need(2);
  expect(onWaiting.mock.calls).toEqual([[2]]);
  expect(onEnough).not.toHaveBeenCalled();
  join(2);
  join(3);
  expect(onWaiting).toHaveBeenCalledTimes(1);
  expect(onEnough).toHaveBeenCalledTimes(1);
});

it('a quorum reports a wait again when the needed number changes, but not while enough workers are connected', () => {
  const { quorum, onWaiting, join, leave } = watched();
  quorum.need(2);
  join(1);
  quorum.need(1);
  expect(onWaiting.mock.calls).toEqual([[2]]);
  leave(1);
  expect(onWaiting.mock.calls).toEqual([[2], [1]]);
});

it('a quorum reports a timeout after exactly the limit', () => {
  const { quorum, clock, onTimeout } = watched();
  quorum.need(1);
  clock.advance(59_999);
  expect(onTimeout).not.toHaveBeenCalled();
  clock.advance(1);
  expect(onTimeout.mock.calls).toEqual([
    [
      new LockstepError(
        'no-workers',
        'timed out after 60 s waiting for 1 connected worker: start more workers, or increase `waitTimeoutMs`',
      ),
    ],
  ]);
  expect(onTimeout.mock.calls[0][0].code).toBe('no-workers');
});

it('a quorum applies the limit to each wait, excluding the time during which enough workers are connected', () => {
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

it('a quorum without a limit starts no timer, and a closed quorum calls no handlers', () => {
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

describe('reached', () => {
  it('resolves when enough workers are connected, immediately if they already are', async () => {
    const { quorum, join } = watched();
    quorum.need(2);
    const reached = quorum.reached(new AbortController().signal);
    const onReached = vi.fn<() => void>();
    void reached.then(onReached);
    join(1);
    await Promise.resolve();
    expect(onReached).not.toHaveBeenCalled();
    join(2);
    await reached;
    await quorum.reached(new AbortController().signal);
  });

  it('rejects with the reason of the signal, before the wait or during it', async () => {
    const { quorum } = watched();
    quorum.need(1);
    const abort = new AbortController();
    const reached = quorum.reached(abort.signal);
    const reason = new LockstepError('interrupted', 'stopped by the test');
    abort.abort(reason);
    await expect(reached).rejects.toBe(reason);
    await expect(quorum.reached(abort.signal)).rejects.toBe(reason);
  });
});
