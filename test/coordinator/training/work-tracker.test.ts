// Tests work tracking and gradient sums with joins, departures and answers in any order.
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

/** Returns the gradient of each slice, which is the same for every worker. */
function sliceGradients(sliceCount: number): Float32Array[] {
  const random = new KeyedRandom(sliceCount, 'synthesis');
  return Array.from({ length: sliceCount }, (_, slice) =>
    Float32Array.from({ length: gradientSize }, (_unused, i) => random.uniformAt(slice * gradientSize + i) * 2 - 1),
  );
}

/** Returns the answer for a range: the sum in tree order, and for each slice a report that identifies the slice. */
function answerFor(range: SliceRange, gradients: readonly Float32Array[]): PartialSum {
  return {
    range,
    gradientSum: treeSum(gradients, range.first, range.count),
    maxima: new Float32Array(),
    clippedCount: 0,
    sampleCount: imagesPerSlice * range.count,
    slices: Array.from({ length: range.count }, (_, index) => ({
      lossSum: range.first + index + 0.5,
      correctCount: 1,
      batchStatistics: Float32Array.of(range.first + index),
    })),
  };
}

/** Returns equally fast workers that hold every shard. */
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
  return { bits: bitsOf(gradientSum as Float32Array), sampleCount, slices };
}

/** Tracks the work of a step and adds up its answers, as the dispatcher and a gradient job do. */
class Round {
  readonly work: WorkTracker;
  readonly #sum: GradientSum;
  readonly #sliceCount: number;

  constructor(sliceCount: number) {
    this.#sliceCount = sliceCount;
    this.work = new WorkTracker(sliceCount);
    this.#sum = new GradientSum(sliceCount, 'float32');
  }

  get result(): Total | undefined {
    const isComplete = this.work.remaining === 0;
    if (isComplete !== (this.#sum.total !== undefined)) throw new Error('work tracker and sum differ in completion');
    return this.#sum.total;
  }

  assignedTo(worker: number): readonly SliceRange[] {
    return this.work.assignedTo(worker);
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
    return this.#assign(this.work.assignedOnlyTo(straggler), workers);
  }

  /** Removes a worker and returns the number of slices that became open. */
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
    const assignments = assignRanges(ranges, workers, (worker) => sliceCountOf(this.assignedTo(worker)));
    for (const assignment of assignments) this.work.assign(assignment);
    return assignments;
  }
}

/** A round with connected workers. Open work is assigned when workers join or leave and when an answer is dropped. */
class Simulation {
  readonly round: Round;
  readonly connected = new Set<number>();
  readonly #gradients: readonly Float32Array[];

  constructor(readonly sliceCount: number) {
    this.round = new Round(sliceCount);
    this.#gradients = sliceGradients(sliceCount);
  }

  join(...workers: number[]): void {
    for (const worker of workers) this.connected.add(worker);
    this.#assignOpen();
  }

  leave(worker: number): number {
    this.connected.delete(worker);
    const released = this.round.release(worker);
    this.#assignOpen();
    return released;
  }

  /** Makes a worker answer one of its assigned ranges, or all of them if `range` is omitted. */
  answer(worker: number, range?: SliceRange): string[] {
    return (range === undefined ? [...this.round.assignedTo(worker)] : [range]).map((assigned) => {
      const acceptance = this.round.accept(worker, answerFor(assigned, this.#gradients));
      if (acceptance === 'duplicate') this.#assignOpen();
      return acceptance;
    });
  }

  /** Returns the result of the round, or undefined if the round is not complete. */
  outcome(): Outcome | undefined {
    return this.round.result && outcomeOf(this.round.result);
  }

  /** Returns the result that a single worker would produce by computing every slice. */
  expectedOutcome(): Outcome {
    return outcomeOf(answerFor({ first: 0, count: this.sliceCount }, this.#gradients));
  }

  #assignOpen(): void {
    this.round.assignRest(candidates(...this.connected));
  }
}

describe('a step without faults', () => {
  it('has no result before the last slice', () => {
    const simulation = new Simulation(4);
    simulation.join(1);
    expect(simulation.round.assignedTo(1)).toEqual([{ first: 0, count: 4 }]);
    expect(simulation.round.result).toBeUndefined();
    expect(simulation.answer(1)).toEqual(['accepted']);
    expect(simulation.outcome()).toEqual(simulation.expectedOutcome());
    expect(simulation.round.assignedTo(1)).toEqual([]);
    expect(simulation.round.unassigned()).toEqual([]);
  });

  it('adds partial sums in float32', () => {
    // 2^24 + 1 is halfway between two float32 values and is rounded to the even one, 2^24. 3 + 4 = 7 is exact.
    const round = new Round(2);
    for (const [slice, gradientSum] of [Float32Array.of(1, 4), Float32Array.of(2 ** 24, 3)].entries()) {
      round.assign(slice, { first: slice, count: 1 });
      const report = { lossSum: 0.5, correctCount: 2, batchStatistics: Float32Array.of(slice) };
      const rest = { maxima: new Float32Array(), clippedCount: 0, sampleCount: 8, slices: [report] };
      round.accept(slice, { range: { first: slice, count: 1 }, gradientSum, ...rest });
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

describe('work assignment', () => {
  it('records which ranges are assigned to each worker', () => {
    const round = new Round(4);
    expect(round.assignRest(candidates(1, 2))).toEqual([
      { worker: 1, ranges: [{ first: 0, count: 2 }] },
      { worker: 2, ranges: [{ first: 2, count: 2 }] },
    ]);
    expect(round.assignedTo(1)).toEqual([{ first: 0, count: 2 }]);
    expect(round.unassigned()).toEqual([]);
  });

  it('leaves workers without work if there are more workers than slices', () => {
    const round = new Round(2);
    expect(round.assignRest(candidates(1, 2, 3)).map(({ worker }) => worker)).toEqual([1, 2]);
    expect(round.assignedTo(3)).toEqual([]);
  });

  it('assigns the most to the workers with the fewest assigned slices', () => {
    const round = new Round(8);
    round.assign(1, { first: 0, count: 4 });
    round.assign(2, { first: 4, count: 1 });
    // Slices 5 to 7 are open, as the ranges {5} and {6,7}. The larger range goes to worker 2, which then has 1 + 2 = 3
    // slices, still fewer than the 4 of worker 1. So slice 5 goes to worker 2 as well.
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

  it('assigns nothing without workers or without open work', () => {
    const round = new Round(2);
    expect(round.assignRest(candidates())).toEqual([]);
    round.assign(1, { first: 0, count: 2 });
    expect(round.assignRest(candidates(1, 2))).toEqual([]);
  });
});

describe('a straggler', () => {
  it('gets help with the ranges that are assigned only to it: others compute them as well', () => {
    const round = new Round(4);
    round.assign(1, { first: 0, count: 4 });
    expect(round.assignAgain(1, candidates(2, 3))).toEqual([
      { worker: 2, ranges: [{ first: 0, count: 2 }] },
      { worker: 3, ranges: [{ first: 2, count: 2 }] },
    ]);
    expect(round.assignedTo(1)).toEqual([{ first: 0, count: 4 }]);
  });

  it('gets no help with slices that are also assigned to others or already answered', () => {
    const gradients = sliceGradients(4);
    const round = new Round(4);
    round.assign(1, { first: 0, count: 3 });
    round.assign(2, { first: 0, count: 2 });
    round.assign(3, { first: 2, count: 1 });
    expect(round.work.assignedOnlyTo(1)).toEqual([]);
    round.accept(3, answerFor({ first: 2, count: 1 }, gradients));
    round.release(2);
    expect(round.work.assignedOnlyTo(1)).toEqual([{ first: 0, count: 2 }]);
  });
});

describe('a fault in the middle of a step', () => {
  const faults: { title: string; inject: (simulation: Simulation) => void }[] = [
    {
      title: 'a worker leaves before it answers',
      inject: (simulation) => {
        simulation.join(1, 2);
        // Half of the slices are assigned to each worker.
        expect(simulation.leave(2)).toBe(simulation.sliceCount / 2);
        simulation.answer(1);
      },
    },
    {
      title: 'a worker leaves after it has answered',
      inject: (simulation) => {
        simulation.join(1);
        simulation.leave(1);
        simulation.join(1, 2);
        simulation.answer(1);
        // The answer of worker 1 was accepted, so no slice becomes open.
        expect(simulation.leave(1)).toBe(0);
        simulation.answer(2);
      },
    },
    {
      title: 'a worker leaves between two of its answers',
      inject: (simulation) => {
        simulation.round.assign(1, { first: 0, count: simulation.sliceCount - 1 });
        simulation.connected.add(1);
        const [first] = simulation.round.assignedTo(1);
        simulation.answer(1, first);
        expect(simulation.leave(1)).toBe(simulation.sliceCount - 1 - first.count);
        simulation.join(2);
        simulation.answer(2);
      },
    },
    {
      title: 'all workers leave and another joins',
      inject: (simulation) => {
        simulation.join(1, 2, 3);
        for (const worker of [1, 2, 3]) simulation.leave(worker);
        expect(simulation.round.unassigned()).toEqual([{ first: 0, count: simulation.sliceCount }]);
        simulation.join(4);
        simulation.answer(4);
      },
    },
    {
      title: 'a worker joins after everything is assigned, and gets no work',
      inject: (simulation) => {
        simulation.join(1);
        simulation.join(2);
        expect(simulation.round.assignedTo(2)).toEqual([]);
        simulation.answer(1);
      },
    },
    {
      title: 'a straggler answers after the worker with the speculative work',
      inject: (simulation) => {
        simulation.join(1, 2);
        for (const range of simulation.round.assignedTo(1)) simulation.round.assign(2, range);
        expect(new Set(simulation.answer(2))).toEqual(new Set(['accepted']));
        expect(simulation.outcome()).toEqual(simulation.expectedOutcome());
        expect(new Set(simulation.answer(1))).toEqual(new Set(['duplicate']));
      },
    },
    {
      title: 'a straggler answers before the worker with the speculative work, whose answer is dropped',
      inject: (simulation) => {
        simulation.join(1, 2);
        const speculative = simulation.round.assignAgain(1, candidates(2)).flatMap(({ ranges }) => ranges);
        expect(speculative).toEqual(simulation.round.assignedTo(1));
        expect(new Set(simulation.answer(1))).toEqual(new Set(['accepted']));
        for (const range of speculative) expect(simulation.answer(2, range)).toEqual(['duplicate']);
        simulation.answer(2);
      },
    },
    {
      title: 'an answer for a partly answered range is dropped, and the unanswered slices are assigned again',
      inject: (simulation) => {
        simulation.join(1);
        // One slice of worker 1's range is also assigned to worker 2, which answers first.
        simulation.round.assign(2, { first: 0, count: 1 });
        simulation.connected.add(2);
        simulation.answer(2);
        expect(simulation.answer(1)).toEqual(['duplicate']);
        expect(simulation.round.result).toBeUndefined();
        expect(simulation.round.unassigned()).toEqual([]);
        simulation.answer(1);
        simulation.answer(2);
      },
    },
    {
      title: 'a straggler leaves while the same slices are assigned to another worker',
      inject: (simulation) => {
        simulation.join(1, 2);
        for (const range of simulation.round.assignedTo(1)) simulation.round.assign(2, range);
        // The slices are still assigned to worker 2, so none becomes open.
        expect(simulation.leave(1)).toBe(0);
        simulation.answer(2);
      },
    },
  ];

  it.each(faults.flatMap(({ title, inject }) => [4, 6].map((sliceCount) => [title, sliceCount, inject] as const)))(
    'does not change the result: %s (%i slices)',
    (_, sliceCount, inject) => {
      const simulation = new Simulation(sliceCount);
      inject(simulation);
      expect(simulation.outcome()).toEqual(simulation.expectedOutcome());
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
    ["for another worker's range", 1, { first: 2, count: 2 }],
    ['for half of a range', 1, { first: 0, count: 1 }],
    ['for more than the range', 1, { first: 0, count: 4 }],
    ['from a worker without assigned ranges', 3, { first: 0, count: 2 }],
  ])('%s is rejected and changes nothing', (_, worker, range) => {
    const round = roundOfTwo();
    expect(() => round.accept(worker, answerFor(range, gradients))).toThrow(RangeError);
    expect(round.assignedTo(1)).toEqual([{ first: 0, count: 2 }]);
    expect(round.assignedTo(2)).toEqual([{ first: 2, count: 2 }]);
    expect(round.result).toBeUndefined();
  });

  it('is rejected when it repeats an earlier answer', () => {
    const round = roundOfTwo();
    round.accept(1, answerFor({ first: 0, count: 2 }, gradients));
    expect(() => round.accept(1, answerFor({ first: 0, count: 2 }, gradients))).toThrow(
      'worker 1 has no outstanding assignment for slices 0 to 1',
    );
  });
});

describe('any sequence of joins, departures, answers and speculative work', () => {
  it.each(Array.from({ length: 12 }, (_, index) => index + 1))('gives the same bits over %i slices', (sliceCount) => {
    for (let seed = 0; seed < 80; seed++) {
      const simulation = runAtRandom(sliceCount, seed);
      expect(simulation.outcome()).toEqual(simulation.expectedOutcome());
    }
  });
});

/** Applies random events until the round is complete. */
function runAtRandom(sliceCount: number, seed: number): Simulation {
  const random = new KeyedRandom(seed, 'synthesis', sliceCount);
  const simulation = new Simulation(sliceCount);
  let position = 0;
  const below = (limit: number) => random.integerAt(position++, limit);
  const anyOf = <Item>(items: readonly Item[]): Item => items[below(items.length)];
  let nextWorker = 0;
  for (let event = 0; simulation.round.result === undefined; event++) {
    // About a third of the events are answers, so a round ends after a few dozen of them.
    if (event > 5000) throw new Error('the round does not end');
    const workers = [...simulation.connected];
    const busy = workers.filter((worker) => simulation.round.assignedTo(worker).length > 0);
    const kind = below(6);
    if (workers.length === 0 || (kind === 0 && workers.length < 6)) {
      simulation.join(nextWorker++);
    } else if (kind === 1) {
      simulation.leave(anyOf(workers));
    } else if (kind === 2 && busy.length > 0) {
      // Speculatively assign a range, or one of its slices, to another worker.
      const assignedRange = anyOf(simulation.round.assignedTo(anyOf(busy)));
      const other = anyOf(workers);
      const range =
        below(2) === 0 ? assignedRange : { first: assignedRange.first + below(assignedRange.count), count: 1 };
      if (!simulation.round.assignedTo(other).some((assigned) => overlap(assigned, range)))
        simulation.round.assign(other, range);
    } else if (busy.length > 0) {
      const worker = anyOf(busy);
      simulation.answer(worker, anyOf(simulation.round.assignedTo(worker)));
    }
  }
  return simulation;
}

function overlap(a: SliceRange, b: SliceRange): boolean {
  return a.first < b.first + b.count && b.first < a.first + a.count;
}
