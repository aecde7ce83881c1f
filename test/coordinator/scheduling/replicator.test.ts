import { describe, expect, it } from 'vitest';
import { nextPlacement } from '../../../coordinator/scheduling/replicator.js';

const shards = ['a', 'b', 'c', 'd'];

/** Returns workers 1, 2, …; each string lists the shards that one worker holds, one letter per shard. */
function workersHolding(...held: string[]) {
  return held.map((letters, index) => {
    return { id: index + 1, heldShards: new Set(letters) };
  });
}

function nextOf(workers: ReturnType<typeof workersHolding>, owners: number[], replicas = 2): string {
  const next = nextPlacement(shards, owners, workers, replicas);
  return next === undefined ? 'nothing' : `${next.sha256} on ${next.worker.id}`;
}

/** Makes all placements one after the other and returns their number. */
function makePlacements(workers: ReturnType<typeof workersHolding>, owners: number[], replicas: number): number {
  for (let count = 0; ; count++) {
    const next = nextPlacement(shards, owners, workers, replicas);
    if (next === undefined) return count;
    next.worker.heldShards.add(next.sha256);
  }
}

describe('nextPlacement', () => {
  it('first places the shard of a slice that has a new owner', () => {
    // Worker 3 is the new owner of slice 1, whose shard is b.
    expect(nextOf(workersHolding('ab', 'cd', ''), [1, 3, 2, 2])).toBe('b on 3');
  });

  it('then places a second copy on the worker that holds the fewest shards', () => {
    expect(nextOf(workersHolding('ab', 'cd', ''), [1, 1, 2, 2])).toBe('a on 3');
    expect(nextOf(workersHolding('ab', 'cd', 'a'), [1, 1, 2, 2])).toBe('b on 3');
    expect(nextOf(workersHolding('ab', 'cd', 'ab'), [1, 1, 2, 2])).toBe('c on 1');
  });

  it('places the shard with the fewest copies', () => {
    expect(nextOf(workersHolding('abc', 'bcd', 'a'), [1, 1, 2, 2], 3)).toBe('d on 3');
  });

  it('places nothing when every shard has enough copies', () => {
    expect(nextOf(workersHolding('ab', 'cd'), [1, 1, 2, 2], 1)).toBe('nothing');
    expect(nextOf(workersHolding('abcd', 'abcd', ''), [1, 1, 2, 2])).toBe('nothing');
  });

  it('places nothing with a single worker', () => {
    expect(nextOf(workersHolding('abcd'), [1, 1, 1, 1])).toBe('nothing');
  });

  it('does not place a shard that nobody holds, because its owner requests it', () => {
    expect(nextOf(workersHolding('abc', ''), [1, 1, 1, 2], 1)).toBe('nothing');
  });
});

it.each([
  [1, 2],
  [2, 2],
  [3, 4],
  [4, 4],
])('the replicator ends with %i copies of each shard and at most %i shards on a worker', (replicas, maxShards) => {
  const workers = workersHolding('ab', 'cd', '', '');
  // Each of the four shards has one copy already.
  expect(makePlacements(workers, [1, 1, 2, 2], replicas)).toBe(4 * replicas - 4);
  for (const shard of shards) expect(workers.filter(({ heldShards }) => heldShards.has(shard))).toHaveLength(replicas);
  expect(Math.max(...workers.map(({ heldShards }) => heldShards.size))).toBe(maxShards);
});
