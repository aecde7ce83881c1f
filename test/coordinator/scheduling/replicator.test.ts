import { describe, expect, it } from 'vitest';
import { nextPlacement } from '../../../coordinator/scheduling/replicator.js';

const shards = ['a', 'b', 'c', 'd'];

/** Worker 1 holds the first of these, worker 2 the second, … */
function holders(...held: string[]) {
  return held.map((letters, index) => {
    const own = new Set(letters);
    return { id: index + 1, own, holds: (sha256: string) => own.has(sha256) };
  });
}

function nextOf(workers: ReturnType<typeof holders>, owners: number[], replicas = 2): string {
  const next = nextPlacement(shards, owners, workers, replicas);
  return next === undefined ? 'nothing' : `${next.sha256} on ${next.worker.id}`;
}

/** Lets every placement be made, one after the other. */
function placements(workers: ReturnType<typeof holders>, owners: number[], replicas: number): number {
  for (let count = 0; ; count++) {
    const next = nextPlacement(shards, owners, workers, replicas);
    if (next === undefined) return count;
    next.worker.own.add(next.sha256);
  }
}

describe('the next shard to be placed', () => {
  it('is one whose slice is to move', () => {
    // Slice 1 is worker 3's from now on.
    expect(nextOf(holders('ab', 'cd', ''), [1, 3, 2, 2])).toBe('b on 3');
  });

  it('is then a second copy, on the worker with the fewest', () => {
    expect(nextOf(holders('ab', 'cd', ''), [1, 1, 2, 2])).toBe('a on 3');
    expect(nextOf(holders('ab', 'cd', 'a'), [1, 1, 2, 2])).toBe('b on 3');
    expect(nextOf(holders('ab', 'cd', 'ab'), [1, 1, 2, 2])).toBe('c on 1');
  });

  it('is one with the fewest copies', () => {
    expect(nextOf(holders('abc', 'bcd', 'a'), [1, 1, 2, 2], 3)).toBe('d on 3');
  });

  it('is nothing when all is where it is to be', () => {
    expect(nextOf(holders('ab', 'cd'), [1, 1, 2, 2], 1)).toBe('nothing');
    expect(nextOf(holders('abcd', 'abcd', ''), [1, 1, 2, 2])).toBe('nothing');
  });

  it('is nothing for one worker alone', () => {
    expect(nextOf(holders('abcd'), [1, 1, 1, 1])).toBe('nothing');
  });

  it('is not one that nobody has: its owner asks for it by itself', () => {
    expect(nextOf(holders('abc', ''), [1, 1, 1, 2], 1)).toBe('nothing');
  });
});

it.each([
  [1, 2],
  [2, 2],
  [3, 4],
  [4, 4],
])('placing ends with %i copies of each shard and at most %i on a worker', (replicas, most) => {
  const workers = holders('ab', 'cd', '', '');
  // Four shards are held once already.
  expect(placements(workers, [1, 1, 2, 2], replicas)).toBe(4 * replicas - 4);
  for (const shard of shards) expect(workers.filter(({ holds }) => holds(shard))).toHaveLength(replicas);
  expect(Math.max(...workers.map(({ own }) => own.size))).toBe(most);
});
