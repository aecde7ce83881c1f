// Timelines (traces for Perfetto): spans nest and add up, and recording them does not change the weights.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { medianOf } from '../../shared/median.js';
import { machineMs } from '../../shared/clock.js';
import { writeCifar10 } from '../../shared/dataset/cifar10.js';
import { synthesizeDataset } from '../../shared/dataset/synthesize.js';
import { runCli } from '../support/cli.js';
import type { RunEventOf } from '../../coordinator/run/run-events.js';
import { fakeEngine } from '../support/fake-engine.js';
import { folderPerFile } from '../support/folder-per-file.js';
import { hashWith, startCluster } from '../support/local-cluster.js';

const inFolder = folderPerFile();

/**
 * Span, a complete event in the Trace Event Format (Google, 2016; JSON object form). The other events in a timeline are
 * `metadata` events.
 */
const span = z.strictObject({
  ph: z.literal('X'),
  name: z.string().min(1),
  cat: z.string().min(1),
  pid: z.int().nonnegative(),
  tid: z.int().positive(),
  ts: z.number().nonnegative(),
  dur: z.number().nonnegative(),
  args: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
});
const metadata = z.strictObject({
  ph: z.literal('M'),
  name: z.enum(['process_name', 'process_sort_index', 'thread_name', 'thread_sort_index']),
  pid: z.int().nonnegative(),
  tid: z.int().nonnegative(),
  args: z.union([z.strictObject({ name: z.string() }), z.strictObject({ sort_index: z.int() })]),
});
const trace = z.strictObject({
  traceEvents: z.array(z.discriminatedUnion('ph', [span, metadata])),
  displayTimeUnit: z.literal('ms'),
  otherData: z.record(z.string(), z.union([z.string(), z.number()])),
});
type Span = z.infer<typeof span>;
type Trace = z.infer<typeof trace>;

const spansOf = ({ traceEvents }: Trace) => traceEvents.filter((event) => event.ph === 'X');
const endOf = ({ ts, dur }: Span) => ts + dur;
/** Rounding error of a time, in microseconds. Times are whole nanoseconds, but their sums are rounded. */
const epsilonUs = 1e-4;
/** Rounding error of a sum of a few times, in microseconds. */
const roundingUs = 0.01;
const contains = (outer: Span, inner: Span) =>
  outer.ts <= inner.ts + epsilonUs && endOf(inner) <= endOf(outer) + epsilonUs;

const window = { from: 3, to: 24 };
let written: Trace;
let stepLines: { step: number; phases: { step: number; reduce: number; update: number } }[];
let hash: string;
let announced: RunEventOf<'timeline'>[];

beforeAll(async () => {
  const file = inFolder('traces', 'run.json');
  const cluster = await startCluster({
    minWorkers: 2,
    steps: 24,
    checkpointEvery: 10,
    // With speculative work, a straggler could still compute a slice after its step has ended.
    stragglerFactor: 0,
    timeline: { file, steps: window },
  });
  try {
    const { events, report } = cluster.coordinator;
    const timelines: RunEventOf<'timeline'>[] = [];
    events.on('timeline', (event) => timelines.push(event));
    const lines: typeof stepLines = [];
    events.on('step', ({ step, phases }) => lines.push({ step, phases }));
    const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 2));
    await cluster.join({ name: 'attic', engine: fakeEngine({ beforeSlice: pause }) });
    await cluster.join({ name: 'cellar' });
    hash = (await report).weightsSha256;
    announced = timelines;
    written = trace.parse(JSON.parse(await readFile(file, 'utf8')));
    stepLines = lines;
  } finally {
    await cluster.close();
  }
});

describe('a timeline', () => {
  it('is announced once it is written, and does not change the weights', async () => {
    const file = inFolder('traces', 'run.json');
    expect(announced).toEqual([{ type: 'timeline', step: 24, time: expect.any(String), file, ...window }]);
    expect(hash).toBe(await hashWith(1, { steps: 24, checkpointEvery: 10 }));
  });

  it('names its processes and threads', () => {
    const names = written.traceEvents.flatMap((event) =>
      event.ph === 'M' && 'name' in event.args ? [`${event.pid}/${event.tid} ${event.args.name}`] : [],
    );
    const ofWorker = (id: number, name: string) => [
      `${id}/0 worker ${name} (fake)`,
      `${id}/1 receive`,
      `${id}/2 compute`,
      `${id}/3 send`,
    ];
    expect(names).toEqual(['0/0 coordinator', '0/1 steps', ...ofWorker(1, 'attic'), ...ofWorker(2, 'cellar')]);
  });

  it('has nested or disjoint spans in every thread', () => {
    const threads = groupedByThread(spansOf(written));
    expect(threads.size).toBe(7);
    for (const spans of threads.values()) {
      const open: Span[] = [];
      for (const next of spans.toSorted((a, b) => a.ts - b.ts || b.dur - a.dur)) {
        while (open.length > 0 && endOf(open.at(-1)!) <= next.ts + epsilonUs) open.pop();
        const outer = open.at(-1) ?? next;
        expect([outer, next, contains(outer, next)]).toEqual([outer, next, true]);
        open.push(next);
      }
    }
  });

  it("accounts for each step: the coordinator's spans fill it, and agree with the run's metrics", () => {
    const own = spansOf(written).filter(({ pid }) => pid === 0);
    const steps = own.filter(({ name }) => name.startsWith('step '));
    expect(steps.map(({ name }) => name)).toEqual(Array.from({ length: 22 }, (_, index) => `step ${index + 3}`));
    const shares: number[] = [];
    for (const [index, step] of steps.entries()) {
      const parts = own.filter((part) => part !== step && contains(step, part));
      expect(new Set(parts.map(({ name }) => name))).toEqual(new Set(['broadcast', 'wait', 'add', 'update']));
      const lengthOf = (name: string) =>
        parts.filter((part) => part.name === name).reduce((sum, { dur }) => sum + dur, 0) / 1000;
      // The parts follow one another without gaps, from the start of the step to the end.
      for (const [position, part] of parts.entries()) {
        const before = parts[position - 1];
        expect(Math.abs(part.ts - (before === undefined ? step.ts : endOf(before)))).toBeLessThan(roundingUs);
      }
      expect(Math.abs(endOf(parts.at(-1)!) - endOf(step))).toBeLessThan(roundingUs);
      // Timeline and metrics use the same clock. The update times are identical, the reduce time in the metrics is part
      // of the "add" spans, and the step in the metrics starts earlier and ends later. How much longer it takes depends
      // on the machine, so the test checks only the median of the ratios.
      const { phases } = stepLines[index + 2];
      expect(Math.abs(lengthOf('update') - phases.update)).toBeLessThan(roundingUs / 1000);
      expect(phases.reduce).toBeLessThanOrEqual(lengthOf('add') + roundingUs / 1000);
      expect(step.dur / 1000).toBeLessThanOrEqual(phases.step + roundingUs / 1000);
      shares.push(step.dur / 1000 / phases.step);
    }
    expect(medianOf(shares)).toBeGreaterThan(0.75);
    const between = own.filter((part) => !steps.some((step) => contains(step, part)));
    expect(between.map(({ name }) => name)).toEqual([
      'checkpoint',
      'validation',
      'checkpoint',
      'checkpoint',
      'validation',
      'checkpoint',
    ]);
  });

  it('has the slices of each worker within the span of their step, up to the uncertainty of the clock offset', () => {
    const [own, others] = [
      spansOf(written).filter(({ pid }) => pid === 0),
      spansOf(written).filter(({ pid }) => pid > 0),
    ];
    // Coordinator and workers run in this process, so the true offset between their clocks is known.
    const truthMs = machineMs() - performance.now();
    const clocks = Object.entries(written.otherData).filter(([name]) => name.startsWith('clock of'));
    expect(clocks).toHaveLength(2);
    const uncertainty = clocks.map(([, text]) => {
      const [, offsetMs, uncertaintyMs] = /^(\S+) ms ahead, ± (\S+) ms$/.exec(String(text))!.map(Number);
      expect(Math.abs(offsetMs - truthMs)).toBeLessThan(uncertaintyMs + 0.01);
      return 1000 * uncertaintyMs + 10;
    });
    for (const number of [5, 15, 24]) {
      const step = own.find(({ name }) => name === `step ${number}`)!;
      const slices = others.filter(({ name, args }) => /^slice \d$/.test(name) && args?.['step'] === number);
      expect(new Set(slices.map(({ name }) => name))).toEqual(new Set(['slice 0', 'slice 1', 'slice 2', 'slice 3']));
      for (const slice of slices) {
        const slackUs = uncertainty[slice.pid - 1];
        expect(slice.ts).toBeGreaterThan(step.ts - slackUs);
        expect(endOf(slice)).toBeLessThan(endOf(step) + slackUs);
      }
    }
  });

  it('has fewer steps if the run ends early', async () => {
    const file = inFolder('cut.json');
    const cluster = await startCluster({ steps: 1000, timeline: { file, steps: { from: 2, to: 900 } } });
    const { coordinator } = cluster;
    coordinator.events.on('step', ({ step }) => {
      if (step === 5) coordinator.stop();
    });
    await cluster.join();
    await expect(coordinator.report).rejects.toMatchObject({ code: 'interrupted' });
    await cluster.close();
    const names = spansOf(trace.parse(JSON.parse(await readFile(file, 'utf8')))).map(({ name }) => name);
    expect(names.filter((name) => name.startsWith('step '))).toEqual(['step 2', 'step 3', 'step 4', 'step 5']);
  });
});

function groupedByThread(spans: readonly Span[]): Map<string, Span[]> {
  const threads = new Map<string, Span[]>();
  for (const each of spans) {
    const key = `${each.pid}/${each.tid}`;
    threads.set(key, [...(threads.get(key) ?? []), each]);
  }
  return threads;
}

describe('the options of the command line', () => {
  beforeAll(() => writeCifar10(inFolder('images'), synthesizeDataset({ trainingImages: 200, testImages: 50 })));

  it.each([
    [
      ['--timeline-steps', '1-2'],
      '--timeline-steps is given without --timeline: specify the file to write with --timeline',
    ],
    [
      ['--timeline', 'FILE', '--timeline-steps', '5-2'],
      '--timeline-steps is 5-2: it must be FROM-TO, two whole numbers of at least 1, for example 10-30',
    ],
    [['--timeline', 'FOLDER'], /cannot write --timeline .* \(EISDIR.*\): specify another/],
  ])('%j is refused', async (options, message) => {
    const file = inFolder('trace.json');
    const places: Record<string, string> = { FILE: file, FOLDER: path.dirname(file) };
    const run = [
      'coordinator',
      '--port',
      '0',
      '--steps',
      '3',
      '--run-dir',
      inFolder('run'),
      '--data',
      inFolder('images'),
    ];
    const { status, output } = await runCli([...run, ...options.map((option) => places[option] ?? option)]);
    expect(output).toMatch(message);
    expect(status).toBe(2);
  });
});
