// Which worker processes are restarted, when, and how often. Processes are promises, and the clock is fake.
import { expect, it } from 'vitest';
import { superviseWorker, type SupervisedProcess } from '../../single-node/worker-supervisor.js';
import { FakeClock } from '../support/fake-clock.js';

interface FakeProcess extends SupervisedProcess {
  end: (exitCode: number | null, code?: string) => void;
}

function fakeProcess(): FakeProcess {
  const process: FakeProcess = {
    child: { exitCode: null },
    failure: undefined,
    exited: Promise.resolve(),
    end: () => {},
  };
  process.exited = new Promise<void>((resolve) => {
    process.end = (exitCode, code) => {
      process.child.exitCode = exitCode;
      process.failure = code === undefined ? undefined : { code };
      resolve();
    };
  });
  return process;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

function supervise() {
  const clock = new FakeClock();
  const started: FakeProcess[] = [];
  const next: string[] = [];
  const supervisor = superviseWorker(
    () => {
      started.push(fakeProcess());
      return started.at(-1)!;
    },
    clock,
    (_, text) => next.push(text),
  );
  /** Ends the current process. */
  async function end(exitCode: number | null, code?: string): Promise<void> {
    supervisor.process.end(exitCode, code);
    await turn();
  }
  return { clock, started, next, supervisor, end };
}

it.each([
  ['is killed', null, undefined],
  ['runs out of memory or crashes', 134, undefined],
  ['has an engine that fails', 1, 'engine-failed'],
])('a process that %s is restarted after a delay', async (_, exitCode, code) => {
  const { clock, started, next, supervisor, end } = supervise();
  await end(exitCode, code);
  expect(next).toEqual(['restarting in 0.5 s']);
  clock.advance(499);
  await turn();
  expect(started).toHaveLength(1);
  clock.advance(1);
  await turn();
  expect(started).toHaveLength(2);
  expect(supervisor.process).toBe(started[1]);
});

it.each([
  ['has a bad option', 2, 'bad-option'],
  ['is refused', 1, 'refused'],
  ['finds no engine', 1, 'no-engine'],
  ['cannot reach the coordinator', 1, 'unreachable'],
  ['was interrupted', 130, 'interrupted'],
  ['has received the goodbye', 0, undefined],
])('a process that %s is not restarted', async (_, exitCode, code) => {
  const { clock, started, next, supervisor, end } = supervise();
  await end(exitCode, code);
  await supervisor.ended;
  expect(next).toEqual(['']);
  expect([started.length, clock.running]).toEqual([1, 0]);
});

it('a process is not restarted after the sixth crash within an hour', async () => {
  const { clock, started, next, supervisor, end } = supervise();
  await end(null);
  clock.advance(3_599_000);
  await turn();
  // When the third process crashes, the first crash was an hour ago and no longer counts.
  for (const delayMs of [1_000, 1_000, 2_000, 4_000, 8_000]) {
    await end(null);
    clock.advance(delayMs);
    await turn();
  }
  expect(started).toHaveLength(7);
  await end(null);
  await supervisor.ended;
  expect(next).toEqual([
    ...[0.5, 1, 1, 2, 4, 8].map((seconds) => `restarting in ${seconds} s`),
    'it crashed 6 times in an hour and is not restarted',
  ]);
});

it('a process is not restarted after release, and its exit is not reported', async () => {
  const first = supervise();
  first.supervisor.release();
  await first.end(null);
  await first.supervisor.ended;
  expect([first.next, first.started.length]).toEqual([[], 1]);
  const second = supervise();
  await second.end(null);
  second.supervisor.release();
  await second.supervisor.ended;
  expect([second.started.length, second.clock.running]).toEqual([1, 0]);
});
