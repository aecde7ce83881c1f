// Which worker processes are followed by another, when, and how often. The processes are promises, time is the test's.
import { expect, it } from 'vitest';
import { superviseWorker, type SupervisedProcess } from '../../single-node/worker-supervisor.js';
import { FakeClock } from '../support/fake-clock.js';

interface Played extends SupervisedProcess {
  end: (exitCode: number | null, code?: string) => void;
}

function play(): Played {
  const process: Played = { child: { exitCode: null }, failure: undefined, exited: Promise.resolve(), end: () => {} };
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

function kept() {
  const clock = new FakeClock();
  const started: Played[] = [];
  const said: string[] = [];
  const keeper = superviseWorker(
    () => {
      started.push(play());
      return started.at(-1)!;
    },
    clock,
    (_, next) => said.push(next),
  );
  /** The one that is here ends. */
  async function end(exitCode: number | null, code?: string): Promise<void> {
    keeper.process.end(exitCode, code);
    await turn();
  }
  return { clock, started, said, keeper, end };
}

it.each([
  ['is killed', null, undefined],
  ['runs out of memory or ends by a mistake of its own', 134, undefined],
  ['has an engine that fails', 1, 'engine-failed'],
])('a process that %s is followed by another after a pause', async (_, exitCode, code) => {
  const { clock, started, said, keeper, end } = kept();
  await end(exitCode, code);
  expect(said).toEqual(['another follows in 0.5 s']);
  clock.advance(499);
  await turn();
  expect(started).toHaveLength(1);
  clock.advance(1);
  await turn();
  expect(started).toHaveLength(2);
  expect(keeper.process).toBe(started[1]);
});

it.each([
  ['has a bad option', 2, 'bad-option'],
  ['is refused', 1, 'refused'],
  ['finds no engine', 1, 'no-engine'],
  ['gave up', 1, 'unreachable'],
  ['was told to end', 130, 'interrupted'],
  ['has heard goodbye', 0, undefined],
])('a process that %s is the last one', async (_, exitCode, code) => {
  const { clock, started, said, keeper, end } = kept();
  await end(exitCode, code);
  await keeper.ended;
  expect(said).toEqual(['']);
  expect([started.length, clock.running]).toEqual([1, 0]);
});

it('the sixth crash in an hour is the last one; those of an hour ago are forgiven', async () => {
  const { clock, started, said, keeper, end } = kept();
  await end(null);
  clock.advance(3_599_000);
  await turn();
  // The first one is an hour old when the third process crashes.
  for (const delayMs of [1_000, 1_000, 2_000, 4_000, 8_000]) {
    await end(null);
    clock.advance(delayMs);
    await turn();
  }
  expect(started).toHaveLength(7);
  await end(null);
  await keeper.ended;
  expect(said).toEqual([
    ...[0.5, 1, 1, 2, 4, 8].map((seconds) => `another follows in ${seconds} s`),
    'it crashed 6 times in an hour, none follows',
  ]);
});

it('one that was released is not followed, and nobody is told', async () => {
  const first = kept();
  first.keeper.release();
  await first.end(null);
  await first.keeper.ended;
  expect([first.said, first.started.length]).toEqual([[], 1]);
  const second = kept();
  await second.end(null);
  second.keeper.release();
  await second.keeper.ended;
  expect([second.started.length, second.clock.running]).toEqual([1, 0]);
});
