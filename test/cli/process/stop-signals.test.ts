// What counts as a second signal. Nothing is sent to this process: its listener is called, and time is the test's.
import { afterEach, expect, it, vi } from 'vitest';
import { onStopSignals } from '../../../cli/process/stop-signals.js';
import { FakeClock } from '../../support/fake-clock.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

afterEach(() => void vi.restoreAllMocks());

function listening() {
  const clock = new FakeClock();
  const told: string[] = [];
  vi.spyOn(process, 'exit').mockImplementation((status) => {
    told.push(`exit ${String(status)}`);
    return undefined as never;
  });
  const say = (signal: NodeJS.Signals) => void told.push(signal);
  const stop = onStopSignals(say, () => told.push('before the exit'), clock);
  const comes = process.listeners('SIGINT').at(-1)!;
  expect(process.listeners('SIGTERM').at(-1)).toBe(comes);
  stop();
  expect([...process.listeners('SIGINT'), ...process.listeners('SIGTERM')]).not.toContain(comes);
  return { clock, told, comes };
}

it('the first signal is told, and no other within a quarter of a second', async () => {
  const { clock, told, comes } = listening();
  comes('SIGINT');
  await turn();
  clock.advance(250);
  comes('SIGINT');
  comes('SIGTERM');
  expect(told).toEqual(['SIGINT']);
});

it('the next one ends the process with 130', async () => {
  const { clock, told, comes } = listening();
  comes('SIGTERM');
  await turn();
  clock.advance(251);
  comes('SIGINT');
  expect(told).toEqual(['SIGTERM', 'before the exit', 'exit 130']);
});

it('one that waited behind the first is the same, however late this process comes to it', async () => {
  const { clock, told, comes } = listening();
  comes('SIGINT');
  clock.advance(10_000);
  comes('SIGINT');
  expect(told).toEqual(['SIGINT']);
  await turn();
  comes('SIGINT');
  expect(told).toEqual(['SIGINT', 'before the exit', 'exit 130']);
});
