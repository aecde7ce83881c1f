// Which signals count as the second signal. No signals are sent: the listener is called directly, with a fake clock.
import { afterEach, expect, it, vi } from 'vitest';
import { onStopSignals } from '../../../cli/process/stop-signals.js';
import { FakeClock } from '../../support/fake-clock.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

afterEach(() => void vi.restoreAllMocks());

function listen() {
  const clock = new FakeClock();
  const events: string[] = [];
  vi.spyOn(process, 'exit').mockImplementation((status) => {
    events.push(`exit ${String(status)}`);
    return undefined as never;
  });
  const onFirst = (signal: NodeJS.Signals) => void events.push(signal);
  const stop = onStopSignals(onFirst, () => events.push('before the exit'), clock);
  const receive = process.listeners('SIGINT').at(-1)!;
  expect(process.listeners('SIGTERM').at(-1)).toBe(receive);
  stop();
  expect([...process.listeners('SIGINT'), ...process.listeners('SIGTERM')]).not.toContain(receive);
  return { clock, events, receive };
}

it('ignores further signals within a quarter of a second after the first', async () => {
  const { clock, events, receive } = listen();
  receive('SIGINT');
  await turn();
  clock.advance(250);
  receive('SIGINT');
  receive('SIGTERM');
  expect(events).toEqual(['SIGINT']);
});

it('ends the process with status 130 at the second signal', async () => {
  const { clock, events, receive } = listen();
  receive('SIGTERM');
  await turn();
  clock.advance(251);
  receive('SIGINT');
  expect(events).toEqual(['SIGTERM', 'before the exit', 'exit 130']);
});

it('counts signals that were queued while the process was busy as one', async () => {
  const { clock, events, receive } = listen();
  receive('SIGINT');
  clock.advance(10_000);
  receive('SIGINT');
  expect(events).toEqual(['SIGINT']);
  await turn();
  receive('SIGINT');
  expect(events).toEqual(['SIGINT', 'before the exit', 'exit 130']);
});
