// Work of a step under every sequence of joins, departures and answers, and the sum that comes of it.
import { describe, expect, it } from 'vitest';
import {
  assignRanges,
  sliceCountOf,
  type Assignment,
  type Candidate,
} from '../../../coordinator/scheduling/assignment.js';
import { GradientSum, type PartialSum, type SliceReport } from '../../../coordinator/training/gradient-sum.js';
import { WorkTracker } from '../../../coordinator/training/work-tracker.js';
import { KeyedRandom } from '../../../shared/random.js';
import { alignedRanges, type SliceRange } from '../../../shared/reduction/slices.js';
import { bitsOf, treeSum } from '../../support/tree-sum.js';

const gradientSize = 24;
const imagesPerSlice = 3;

/** What each slice's gradient is, whoever computes it. */
function sliceGradients(sliceCount: number): Float32Array[] {
  const random = new KeyedRandom(sliceCount, 'synthesis');
  return Array.from({ length: sliceCount }, (_, slice) =>
    Float32Array.from({ length: gradientSize }, (_unused, i) => random.uniformAt(slice * gradientSize + i) * 2 - 1),
  );
}

/** An answer: the range's sum in tree order, and a report per slice that names the slice. */
function answerFor(range: SliceRange, gradients: readonly Float32Array[]): PartialSum {
  return {
    range,
    gradientSum: treeSum(gradients, range.first, range.count),
    sampleCount: imagesPerSlice * range.count,
    slices: Array.from({ length: range.count }, (_, index) => ({
      lossSum: range.first + index + 0.5,
      correctCount: 1,
      batchStatistics: Float32Array.of(range.first + index),
    })),
  };
}

/** Workers that are equally fast and hold every shard. */
function candidates(...workers: number[]): Candidate[] {
  return workers.map((worker) => ({ worker, sliceMs: 1, overheadMs: 0, holds: () => true }));
}

type Total = Omit<PartialSum, 'range'>;

interface Outcome {
  bits: Uint32Array;
  sampleCount: number;
  slices: readonly SliceReport[];
}

function outcomeOf({ gradientSum, sampleCount, slices }: Total): Outcome {
  return { bits: bitsOf(gradientSum), sampleCount, slices };
}

/** The pure parts of a step together, as the dispatcher and a gradient job use them. */
class Round {
  readonly work: WorkTracker;
  readonly #sum: GradientSum;
  readonly #sliceCount: number;

  constructor(sliceCount: number) {
    this.#sliceCount = sliceCount;
    this.work = new WorkTracker(sliceCount);
    this.#sum = new GradientSum(sliceCount);
  }

  get result(): Total | undefined {
    expect(this.work.remaining === 0).toBe(this.#sum.total !== undefined);
    return this.#sum.total;
  }

  owedBy(worker: number): readonly SliceRange[] {
    return this.work.owedBy(worker);
  }

  unassigned(): SliceRange[] {
    return this.work.open();
  }

  assign(worker: number, range: SliceRange): SliceRange[] {
    const ranges = alignedRanges(range, this.#sliceCount);
    this.work.assign({ worker, ranges });
    return ranges;
  }

  assignRest(workers: readonly Candidate[]): Assignment[] {
    return this.#assign(this.work.open(), workers);
  }

  assignAgain(straggler: number, workers: readonly Candidate[]): Assignment[] {
    return this.#assign(this.work.owedOnlyBy(straggler), workers);
  }

  /** @returns number of slices that are open again */
  release(worker: number): number {
    const before = this.work.reassigned;
    this.work.release(worker);
    return this.work.reassigned - before;
  }

  accept(worker: number, partial: PartialSum): 'accepted' | 'duplicate' {
    const acceptance = this.work.answer(worker, partial.range);
    if (acceptance === 'accepted') this.#sum.add(partial);
    return acceptance;
  }

  #assign(ranges: readonly SliceRange[], workers: readonly Candidate[]): Assignment[] {
    const assignments = assignRanges(ranges, workers, (worker) => sliceCountOf(this.owedBy(worker)));
    for (const assignment of assignments) this.work.assign(assignment);
    return assignments;
  }
}

/** A round as its caller drives it: whatever happens, open work is assigned to the connected workers. */
class Drill {
  readonly round: Round;
  readonly here = new Set<number>();
  readonly #gradients: readonly Float32Array[];

  constructor(readonly sliceCount: number) {
    this.round = new Round(sliceCount);
    this.#gradients = sliceGradients(sliceCount);
  }

  join(...workers: number[]): void {
    for (const worker of workers) this.here.add(worker);
    this.#assignOpen();
  }

  leave(worker: number): number {
    this.here.delete(worker);
    const released = this.round.release(worker);
    this.#assignOpen();
    return released;
  }

  /** Answers what a worker owes, one range or all. */
  answer(worker: number, range?: SliceRange): string[] {
    return (range === undefined ? [...this.round.owedBy(worker)] : [range]).map((owed) => {
      const acceptance = this.round.accept(worker, answerFor(owed, this.#gradients));
      if (acceptance === 'duplicate') this.#assignOpen();
      return acceptance;
    });
  }

  /** What the round came to. */
  outcome(): Outcome | undefined {
    return this.round.result && outcomeOf(this.round.result);
  }

  /** What it is to come to: the sum of one worker that computes everything. */
  wholeOutcome(): Outcome {
    return outcomeOf(answerFor({ first: 0, count: this.sliceCount }, this.#gradients));
  }

  #assignOpen(): void {
    this.round.assignRest(candidates(...this.here));
  }
}

describe('a step without faults', () => {
  it('has no result before the last slice', () => {
    const drill = new Drill(4);
    drill.join(1);
    expect(drill.round.owedBy(1)).toEqual([{ first: 0, count: 4 }]);
    expect(drill.round.result).toBeUndefined();
    expect(drill.answer(1)).toEqual(['accepted']);
    expect(drill.outcome()).toEqual(drill.wholeOutcome());
    expect(drill.round.owedBy(1)).toEqual([]);
    expect(drill.round.unassigned()).toEqual([]);
  });

  it('adds two partials in float32', () => {
    // 2^24 + 1 is halfway between two float32 numbers and goes to the even one; 3 + 4 = 7.
    const round = new Round(2);
    for (const [slice, gradientSum] of [Float32Array.of(1, 4), Float32Array.of(2 ** 24, 3)].entries()) {
      round.assign(slice, { first: slice, count: 1 });
      const report = { lossSum: 0.5, correctCount: 2, batchStatistics: Float32Array.of(slice) };
      round.accept(slice, { range: { first: slice, count: 1 }, gradientSum, sampleCount: 8, slices: [report] });
    }
    expect([...round.result!.gradientSum]).toEqual([2 ** 24, 7]);
    expect(round.result!.sampleCount).toBe(16);
    expect(round.result!.slices.map((slice) => slice.batchStatistics)).toEqual([
      Float32Array.of(0),
      Float32Array.of(1),
    ]);
  });

  it('splits a range into aligned ranges', () => {
    const round = new Round(6);
    expect(round.assign(1, { first: 1, count: 4 })).toEqual([
      { first: 1, count: 1 },
      { first: 2, count: 2 },
      { first: 4, count: 1 },
    ]);
    expect(round.unassigned()).toEqual([
      { first: 0, count: 1 },
      { first: 5, count: 1 },
    ]);
  });
});

describe('assigning', () => {
  it('remembers who owes what', () => {
    const round = new Round(4);
    expect(round.assignRest(candidates(1, 2))).toEqual([
      { worker: 1, ranges: [{ first: 0, count: 2 }] },
      { worker: 2, ranges: [{ first: 2, count: 2 }] },
    ]);
    expect(round.owedBy(1)).toEqual([{ first: 0, count: 2 }]);
    expect(round.unassigned()).toEqual([]);
  });

  it('leaves workers beyond the number of slices without work', () => {
    const round = new Round(2);
    expect(round.assignRest(candidates(1, 2, 3)).map((order) => order.worker)).toEqual([1, 2]);
    expect(round.owedBy(3)).toEqual([]);
  });

  it('assigns most to the workers that owe least', () => {
    const round = new Round(8);
    round.assign(1, { first: 0, count: 4 });
    round.assign(2, { first: 4, count: 1 });
    // Open are slice 5 and slices 6 to 7. The larger goes to worker 2, who owes 1 and then 3; the other to 2 again (3 < 4).
    expect(round.assignRest(candidates(1, 2))).toEqual([
      {
        worker: 2,
        ranges: [
          { first: 6, count: 2 },
          { first: 5, count: 1 },
        ],
      },
    ]);
  });

  it('assigns nothing without workers, and nothing when nothing is open', () => {
    const round = new Round(2);
    expect(round.assignRest(candidates())).toEqual([]);
    round.assign(1, { first: 0, count: 2 });
    expect(round.assignRest(candidates(1, 2))).toEqual([]);
  });
});

describe('a straggler', () => {
  it('shares with others what it alone owes', () => {
    const round = new Round(4);
    round.assign(1, { first: 0, count: 4 });
    expect(round.assignAgain(1, candidates(2, 3))).toEqual([
      { worker: 2, ranges: [{ first: 0, count: 2 }] },
      { worker: 3, ranges: [{ first: 2, count: 2 }] },
    ]);
    expect(round.owedBy(1)).toEqual([{ first: 0, count: 4 }]);
  });

  it('shares no slice that others owe or have answered', () => {
    const gradients = sliceGradients(4);
    const round = new Round(4);
    round.assign(1, { first: 0, count: 3 });
    round.assign(2, { first: 0, count: 2 });
    round.assign(3, { first: 2, count: 1 });
    expect(round.work.owedOnlyBy(1)).toEqual([]);
    round.accept(3, answerFor({ first: 2, count: 1 }, gradients));
    round.release(2);
    expect(round.work.owedOnlyBy(1)).toEqual([{ first: 0, count: 2 }]);
  });
});

describe('a fault in the middle of a step', () => {
  const faults: { what: string; happens: (drill: Drill) => void }[] = [
    {
      what: 'a worker leaves before it answers',
      happens: (drill) => {
        drill.join(1, 2);
        // Each has half.
        expect(drill.leave(2)).toBe(drill.sliceCount / 2);
        drill.answer(1);
      },
    },
    {
      what: 'a worker leaves after it has answered',
      happens: (drill) => {
        drill.join(1);
        drill.leave(1);
        drill.join(1, 2);
        drill.answer(1);
        // Its answer counts: nothing is open again.
        expect(drill.leave(1)).toBe(0);
        drill.answer(2);
      },
    },
    {
      what: 'a worker leaves between two of its answers',
      happens: (drill) => {
        drill.round.assign(1, { first: 0, count: drill.sliceCount - 1 });
        drill.here.add(1);
        const [first] = drill.round.owedBy(1);
        drill.answer(1, first);
        expect(drill.leave(1)).toBe(drill.sliceCount - 1 - first.count);
        drill.join(2);
        drill.answer(2);
      },
    },
    {
      what: 'all workers leave and another joins',
      happens: (drill) => {
        drill.join(1, 2, 3);
        for (const worker of [1, 2, 3]) drill.leave(worker);
        expect(drill.round.unassigned()).toEqual([{ first: 0, count: drill.sliceCount }]);
        drill.join(4);
        drill.answer(4);
      },
    },
    {
      what: 'a worker joins when everything is assigned, and has nothing to do',
      happens: (drill) => {
        drill.join(1);
        drill.join(2);
        expect(drill.round.owedBy(2)).toEqual([]);
        drill.answer(1);
      },
    },
    {
      what: 'a straggler answers after another has answered in its place',
      happens: (drill) => {
        drill.join(1, 2);
        for (const late of drill.round.owedBy(1)) drill.round.assign(2, late);
        expect(new Set(drill.answer(2))).toEqual(new Set(['accepted']));
        expect(drill.outcome()).toEqual(drill.wholeOutcome());
        expect(new Set(drill.answer(1))).toEqual(new Set(['duplicate']));
      },
    },
    {
      what: 'a straggler answers before the other, whose answer is dropped',
      happens: (drill) => {
        drill.join(1, 2);
        const late = drill.round.assignAgain(1, candidates(2)).flatMap(({ ranges }) => ranges);
        expect(late).toEqual(drill.round.owedBy(1));
        expect(new Set(drill.answer(1))).toEqual(new Set(['accepted']));
        for (const range of late) expect(drill.answer(2, range)).toEqual(['duplicate']);
        drill.answer(2);
      },
    },
    {
      what: 'a whole answer to a half-answered range is dropped, and its other half is assigned again',
      happens: (drill) => {
        drill.join(1);
        // Half of what worker 1 owes is given to worker 2 as well, and comes first.
        drill.round.assign(2, { first: 0, count: 1 });
        drill.here.add(2);
        drill.answer(2);
        expect(drill.answer(1)).toEqual(['duplicate']);
        expect(drill.round.result).toBeUndefined();
        expect(drill.round.unassigned()).toEqual([]);
        drill.answer(1);
        drill.answer(2);
      },
    },
    {
      what: 'a straggler leaves while another owes the same slices',
      happens: (drill) => {
        drill.join(1, 2);
        for (const late of drill.round.owedBy(1)) drill.round.assign(2, late);
        // Worker 2 still owes them: nothing is open.
        expect(drill.leave(1)).toBe(0);
        drill.answer(2);
      },
    },
  ];

  it.each(faults.flatMap(({ what, happens }) => [4, 6].map((sliceCount) => [what, sliceCount, happens] as const)))(
    'changes nothing: %s (%i slices)',
    (_, sliceCount, happens) => {
      const drill = new Drill(sliceCount);
      happens(drill);
      expect(drill.outcome()).toEqual(drill.wholeOutcome());
    },
  );
});

describe('an answer that was not assigned', () => {
  const gradients = sliceGradients(4);
  function roundOfTwo(): Round {
    const round = new Round(4);
    round.assign(1, { first: 0, count: 2 });
    round.assign(2, { first: 2, count: 2 });
    return round;
  }

  it.each<[string, number, SliceRange]>([
    ["over another worker's range", 1, { first: 2, count: 2 }],
    ['over half of a range', 1, { first: 0, count: 1 }],
    ['over more than the range', 1, { first: 0, count: 4 }],
    ['by a worker that owes nothing', 3, { first: 0, count: 2 }],
  ])('%s is refused and changes nothing', (_, worker, range) => {
    const round = roundOfTwo();
    expect(() => round.accept(worker, answerFor(range, gradients))).toThrow(RangeError);
    expect(round.owedBy(1)).toEqual([{ first: 0, count: 2 }]);
    expect(round.owedBy(2)).toEqual([{ first: 2, count: 2 }]);
    expect(round.result).toBeUndefined();
  });

  it('is refused a second time', () => {
    const round = roundOfTwo();
    round.accept(1, answerFor({ first: 0, count: 2 }, gradients));
    expect(() => round.accept(1, answerFor({ first: 0, count: 2 }, gradients))).toThrow(
      'worker 1 does not owe slices 0 to 1',
    );
  });
});

describe('any order of answers, departures and speculative work', () => {
  it.each(Array.from({ length: 12 }, (_, index) => index + 1))('gives the same bits over %i slices', (sliceCount) => {
    for (let seed = 0; seed < 80; seed++) {
      const drill = runAtRandom(sliceCount, seed);
      expect(drill.outcome()).toEqual(drill.wholeOutcome());
    }
  });
});

/** Random events until there is a result. */
function runAtRandom(sliceCount: number, seed: number): Drill {
  const random = new KeyedRandom(seed, 'synthesis', sliceCount);
  const drill = new Drill(sliceCount);
  let position = 0;
  const below = (limit: number) => random.integerAt(position++, limit);
  const anyOf = <Item>(items: readonly Item[]): Item => items[below(items.length)];
  let nextWorker = 0;
  for (let event = 0; drill.round.result === undefined; event++) {
    // Answers are a third of the events, so that a round ends after a few dozen of them.
    if (event > 5000) throw new Error('the round does not end');
    const workers = [...drill.here];
    const owing = workers.filter((worker) => drill.round.owedBy(worker).length > 0);
    const kind = below(6);
    if (workers.length === 0 || (kind === 0 && workers.length < 6)) {
      drill.join(nextWorker++);
    } else if (kind === 1) {
      drill.leave(anyOf(workers));
    } else if (kind === 2 && owing.length > 0) {
      // A straggler's range goes to another worker as well, whole or one slice of it.
      const late = anyOf(drill.round.owedBy(anyOf(owing)));
      const other = anyOf(workers);
      const range = below(2) === 0 ? late : { first: late.first + below(late.count), count: 1 };
      if (!drill.round.owedBy(other).some((owed) => overlap(owed, range))) drill.round.assign(other, range);
    } else if (owing.length > 0) {
      const worker = anyOf(owing);
      drill.answer(worker, anyOf(drill.round.owedBy(worker)));
    }
  }
  return drill;
}

function overlap(a: SliceRange, b: SliceRange): boolean {
  return a.first < b.first + b.count && b.first < a.first + a.count;
}
