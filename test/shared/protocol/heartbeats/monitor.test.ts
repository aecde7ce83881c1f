import { expect, it, vi } from 'vitest';
import { HeartbeatMonitor } from '../../../../shared/protocol/heartbeats/monitor.js';
import { FakeClock } from '../../../support/fake-clock.js';

/** Lets the event loop proceed from its timers to reading sockets and running the callbacks of setImmediate. */
async function readSockets(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function watch(timeoutMs: number) {
  const clock = new FakeClock();
  const onSilence = vi.fn<(silentMs: number) => void>();
  const monitor: HeartbeatMonitor = new HeartbeatMonitor(clock, timeoutMs, () => onSilence(monitor.silentMs));
  return { clock, onSilence, monitor };
}

it('a heartbeat monitor reports nothing until the timeout has passed', async () => {
  const { clock, onSilence } = watch(10_000);
  clock.advance(10_000);
  await readSockets();
  expect(onSilence).not.toHaveBeenCalled();
});

it('a heartbeat monitor reports silence once, at the first check after the timeout', async () => {
  const { clock, onSilence } = watch(10_000);
  // The monitor checks every 2 s. At 10 s the timeout has not passed yet; at 12 s it has.
  clock.advance(12_000);
  await readSockets();
  clock.advance(60_000);
  await readSockets();
  expect(onSilence.mock.calls).toEqual([[12_000]]);
  expect(clock.running).toBe(0);
});

it('a heartbeat monitor checks four times in a short timeout', async () => {
  const { clock, onSilence } = watch(1000);
  clock.advance(1250);
  await readSockets();
  expect(onSilence.mock.calls).toEqual([[1250]]);
});

it('a heartbeat monitor restarts whenever something arrives', async () => {
  const { clock, onSilence, monitor } = watch(10_000);
  for (let message = 0; message < 5; message++) {
    clock.advance(9000);
    monitor.heard();
    await readSockets();
  }
  expect(onSilence).not.toHaveBeenCalled();
  clock.advance(12_000);
  await readSockets();
  expect(onSilence).toHaveBeenCalledTimes(1);
});

it('a heartbeat monitor does not report silence if data arrived unread while this process was computing', async () => {
  const { clock, onSilence, monitor } = watch(10_000);
  clock.advance(60_000);
  // The timer finds that the timeout has passed and schedules a second check. Before that check, the event loop reads
  // the socket.
  monitor.heard();
  await readSockets();
  expect(onSilence).not.toHaveBeenCalled();
});

it('a stopped heartbeat monitor reports nothing, even if stopped between the first and the second check', async () => {
  const { clock, onSilence, monitor } = watch(10_000);
  clock.advance(60_000);
  monitor.stop();
  await readSockets();
  expect(onSilence).not.toHaveBeenCalled();
  expect(clock.running).toBe(0);
});
