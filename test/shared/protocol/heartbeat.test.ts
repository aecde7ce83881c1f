import { expect, it, vi } from 'vitest';
import { HeartbeatMonitor } from '../../../shared/protocol/heartbeat.js';
import { FakeClock } from '../../support/fake-clock.js';

/** What the event loop does after timers have rung: sockets are read, then setImmediate's callbacks run. */
async function afterSocketsAreRead(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function watch(timeoutMs: number) {
  const clock = new FakeClock();
  const onSilence = vi.fn<(silentMs: number) => void>();
  return { clock, onSilence, silence: new HeartbeatMonitor(clock, timeoutMs, onSilence) };
}

it('is silent for as long as the timeout', async () => {
  const { clock, onSilence } = watch(10_000);
  clock.advance(10_000);
  await afterSocketsAreRead();
  expect(onSilence).not.toHaveBeenCalled();
});

it('tells of silence once, at the first look after the timeout', async () => {
  const { clock, onSilence } = watch(10_000);
  // It looks every 2 s: at 10 s the timeout is not passed yet, at 12 s it is.
  clock.advance(12_000);
  await afterSocketsAreRead();
  clock.advance(60_000);
  await afterSocketsAreRead();
  expect(onSilence.mock.calls).toEqual([[12_000]]);
  expect(clock.running).toBe(0);
});

it('looks four times in a short timeout', async () => {
  const { clock, onSilence } = watch(1000);
  clock.advance(1250);
  await afterSocketsAreRead();
  expect(onSilence.mock.calls).toEqual([[1250]]);
});

it('begins anew with each word', async () => {
  const { clock, onSilence, silence } = watch(10_000);
  for (let word = 0; word < 5; word++) {
    clock.advance(9000);
    silence.heard();
    await afterSocketsAreRead();
  }
  expect(onSilence).not.toHaveBeenCalled();
  clock.advance(12_000);
  await afterSocketsAreRead();
  expect(onSilence).toHaveBeenCalledTimes(1);
});

it('takes in words that lay unread while this process computed', async () => {
  const { clock, onSilence, silence } = watch(10_000);
  clock.advance(60_000);
  // The socket is read after the timers and before the second look.
  silence.heard();
  await afterSocketsAreRead();
  expect(onSilence).not.toHaveBeenCalled();
});

it('says nothing once it is stopped, even between the first and the second look', async () => {
  const { clock, onSilence, silence } = watch(10_000);
  clock.advance(60_000);
  silence.stop();
  await afterSocketsAreRead();
  expect(onSilence).not.toHaveBeenCalled();
  expect(clock.running).toBe(0);
});
