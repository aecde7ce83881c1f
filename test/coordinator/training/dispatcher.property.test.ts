// Applies random sequences of events during steps and validations: the gradient always has the same bits as with a
// single worker, no slice or shard is lost or counted twice, and each job ends as long as one worker remains. Only the
// sockets and the clock are fake.
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { Dispatcher } from '../../../coordinator/training/dispatcher.js';
import { EvaluationJob } from '../../../coordinator/training/evaluation-job.js';
import { GradientJob } from '../../../coordinator/training/gradient-job.js';
import { ItemDurations } from '../../../coordinator/scheduling/straggler-watch.js';
import { SliceScheduler } from '../../../coordinator/scheduling/slice-scheduler.js';
import { WeightsEncoder } from '../../../coordinator/connections/step-weights.js';
import type { NewRunEvent } from '../../../coordinator/run/run-events.js';
import { WorkerPool } from '../../../coordinator/connections/worker-pool.js';
import { cifar10Format, cifar10Description } from '../../../shared/dataset/cifar10-layout.js';
import { KeyedRandom } from '../../../shared/random.js';
import { FakeClock } from '../../support/fake-clock.js';
import {
  classesIn,
  evaluationOf,
  imagesInShard,
  ScriptedWorker,
  type ScriptedWorld,
} from '../../support/scripted-worker.js';
import { bitsOf, treeSum } from '../../support/tree-sum.js';
import { resnetLayout } from '../../support/resnet-layout.js';

const { recordBytes } = cifar10Format;

const imagesPerSlice = 3;
const steps = 4;
const layout = {
  ...resnetLayout(),
  weightsSize: 6,
  statisticsSize: 1,
};

/** Returns the gradient of each slice in a step, which is the same for every worker. */
function gradientsOf(step: number, sliceCount: number): Float32Array[] {
  const random = new KeyedRandom(sliceCount, 'synthesis', step);
  return Array.from({ length: sliceCount }, (_, slice) =>
    Float32Array.from({ length: layout.weightsSize }, (_unused, i) => random.uniformAt(slice * 16 + i) * 2 - 1),
  );
}

const index = fc.nat(7);
/** Generates random events. `index` selects one of the connected workers. */
const randomEvent = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('answer' as const), index }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('join' as const),
      held: fc.nat(255),
      computeMs: fc.integer({ min: 1, max: 400 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('leave' as const), index }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 5000 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('repeat' as const), index }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('shard-received' as const), index, slice: fc.nat(15) }) },
);
type RandomEvent = typeof randomEvent extends fc.Arbitrary<infer Value> ? Value : never;

class Simulation {
  readonly world: ScriptedWorld;
  readonly clock = new FakeClock();
  readonly #shards: readonly string[];
  readonly #workers: ScriptedWorker[] = [];
  #nextId = 1;

  constructor(sliceCount: number, evaluationShards: readonly string[]) {
    this.#shards = Array.from({ length: sliceCount }, (_, slice) => slice.toString(16).padStart(64, '0'));
    this.world = {
      pool: new WorkerPool(),
      clock: this.clock,
      shards: [...this.#shards, ...evaluationShards],
      imagesPerSlice,
      answer(step, range) {
        const slices = Array.from({ length: range.count }, (_, offset) => range.first + offset);
        return {
          payload: Float32Array.of(...treeSum(gradientsOf(step, sliceCount), range.first, range.count), ...slices),
          sampleCount: imagesPerSlice * range.count,
          lossSums: slices.map((slice) => slice + 0.5),
        };
      },
    };
  }

  get shards(): readonly string[] {
    return this.#shards;
  }

  get workers(): ScriptedWorker[] {
    return this.#workers.filter(({ isConnected }) => isConnected);
  }

  join(held: number, computeMs: number): void {
    const holds = this.#shards.filter((_, slice) => ((held >> (slice % 8)) & 1) === 1);
    this.#workers.push(new ScriptedWorker(this.world, `worker-${this.#nextId++}`, holds, computeMs));
  }

  apply(event: RandomEvent): void {
    if (event.type === 'join') {
      if (this.workers.length < 6) this.join(event.held, event.computeMs);
      return;
    }
    if (event.type === 'wait') return this.clock.advance(event.ms);
    const { workers } = this;
    if (workers.length === 0) return;
    const worker = workers[event.index % workers.length];
    switch (event.type) {
      case 'answer':
        worker.answer();
        return;
      case 'leave':
        return worker.leave();
      case 'repeat':
        return worker.repeat();
      case 'shard-received':
        return worker.reportShard(this.#shards[event.slice % this.#shards.length]);
      default:
        event satisfies never;
    }
  }
}

/** Lets code that is waiting for a resolved promise continue. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

async function runSteps(sliceCount: number, evaluationShards: number, events: readonly RandomEvent[]): Promise<void> {
  const shards = Array.from({ length: evaluationShards }, (_, shard) => {
    const sha256 = shard.toString(16).padStart(64, 'f');
    return { split: 'validation' as const, index: shard, sha256, bytes: imagesInShard(shard) * recordBytes };
  });
  const simulation = new Simulation(
    sliceCount,
    shards.map(({ sha256 }) => sha256),
  );
  const { pool } = simulation.world;
  const scheduler = new SliceScheduler(simulation.shards, imagesPerSlice);
  const evaluationDurations = new ItemDurations();
  const dispatcher = new Dispatcher(pool, simulation.clock, 2, new AbortController().signal);
  const published: string[] = [];
  const remaining = [...events];

  /** Applies a share of the events, then lets all connected workers answer until the job ends. */
  async function drive<Value>(jobName: string, result: Promise<Value>): Promise<Value> {
    const results: Value[] = [];
    const isDone = result.then((value) => results.push(value));
    const share = remaining.splice(0, Math.ceil(events.length / steps / 2));
    for (let turn = 0; results.length === 0; turn++) {
      const event = share.shift();
      if (event !== undefined) {
        simulation.apply(event);
      } else {
        if (simulation.workers.length === 0) simulation.join(0, 1);
        for (const worker of simulation.workers) worker.answer();
      }
      await settle();
      if (turn > events.length + 8 * (sliceCount + evaluationShards) + 20) throw new Error(`${jobName} does not end`);
    }
    await isDone;
    return results[0];
  }

  for (let step = 0; step < steps; step++) {
    const weights = new WeightsEncoder().encode(step, new Float32Array(1), new Float32Array(1));
    const publish = ({ type }: NewRunEvent) => published.push(type);
    const job = new GradientJob(weights, layout, scheduler, simulation.clock, publish);
    const gradient = await drive(`step ${step}`, dispatcher.run(job));
    expect([published[0], published.at(-1)]).toEqual(['step-started', 'gradient-collected']);
    published.length = 0;
    const expected = treeSum(gradientsOf(step, sliceCount), 0, sliceCount);
    expect(bitsOf(gradient.gradientSum)).toEqual(bitsOf(expected));
    expect(gradient.sampleCount).toBe(sliceCount * imagesPerSlice);
    expect(gradient.slices.map(({ lossSum, batchStatistics }) => [lossSum, ...batchStatistics])).toEqual(
      Array.from({ length: sliceCount }, (_, slice) => [slice + 0.5, slice]),
    );
    expect(gradient.contributions.reduce((sum, { images }) => sum + images, 0)).toBe(sliceCount * imagesPerSlice);

    const validation = new EvaluationJob(
      'validation',
      { shards, dataset: cifar10Description },
      weights,
      evaluationDurations,
    );
    const results = await drive(`the validation after step ${step}`, dispatcher.run(validation));
    expect(results).toEqual(
      shards.map((shard) => {
        const message = evaluationOf({ ...shard, step });
        const { sampleCount, lossSum, correctCount, topFiveCount } = message;
        return { sampleCount, lossSum, correctCount, topFiveCount, predicted: classesIn(message) };
      }),
    );
  }
  for (const worker of simulation.workers) worker.leave();
  // No job or connection leaves a timer running.
  expect(simulation.clock.running).toBe(0);
}

it('the gradient has the same bits after any sequence of joins, departures, and late, repeated or stale answers', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 5 }),
      fc.array(randomEvent, { maxLength: 160 }),
      runSteps,
    ),
    { numRuns: 2000 },
  );
});
