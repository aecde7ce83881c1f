// Tests the totals of a run and the report that is made from them.
import { describe, expect, it } from 'vitest';
import { RunEventBus } from '../../../coordinator/run/run-event-bus.js';
import type { NewRunEvent } from '../../../coordinator/run/run-events.js';
import { RunTotals, totalsRecord } from '../../../coordinator/run/run-totals.js';
import { phaseNames, type StepPhases, type WorkerContribution } from '../../../coordinator/run/step-phases.js';
import { lockstepVersion } from '../../../shared/version.js';

const phases: StepPhases = {
  waitForWeights: 1,
  augment: 2,
  compute: 3,
  add: 4,
  send: 5,
  reduce: 6,
  update: 7,
  step: 100,
};

/** Report fields that are not totals. */
const rest = {
  seed: 0,
  initialWeightsSha256: null,
  steps: 2,
  epochs: 1,
  imagesSeen: 256,
  wallSeconds: 3,
  weightsSha256: 'f'.repeat(64),
  train: { loss: 2, accuracy: 0.25 },
  validation: null,
  test: { loss: 2.5, accuracy: 0.125, topFiveAccuracy: null },
};
const noBytes = { sent: 0, received: 0 };

/** Returns the totals after a run has published these events. */
function totalsOf(events: readonly NewRunEvent[], totals = new RunTotals('wasm/1')): RunTotals {
  const bus = new RunEventBus();
  bus.on('event', (event) => totals.apply(event));
  for (const event of events) bus.publish(event);
  return totals;
}

function step(changes: Partial<StepPhases> = {}, contributions: readonly WorkerContribution[] = []): NewRunEvent {
  const metrics = { loss: 1, accuracy: 0.5, learningRate: 0.1, imagesPerSecond: 100 };
  return { type: 'step', step: 1, epoch: 1, ...metrics, phases: { ...phases, ...changes }, contributions };
}

const wasm = { engine: 'wasm', fingerprint: 'wasm/1' };
const tensorflow = { engine: 'tensorflow', fingerprint: 'tensorflow/4.22 1 thread' };

function joined(engine: { engine: string; fingerprint: string }, device = 'laptop, 1 thread'): NewRunEvent[] {
  const worker = { id: 1, name: 'attic', ...engine, device };
  return [
    { type: 'worker-joined', ...worker, address: 'attic:1', workers: 1 },
    { type: 'engine-assigned', ...worker },
  ];
}

function lost(bytesSent: number, bytesReceived: number): NewRunEvent {
  const worker = { id: 1, name: 'attic', address: 'attic:1', reason: 'gone', workers: 0 };
  return { type: 'worker-lost', ...worker, bytesSent, bytesReceived };
}

/** A worker joins and is lost, 2 slices are reassigned, and 6 slices are duplicated in 5 straggler events. */
const eventful: readonly NewRunEvent[] = [
  ...joined(wasm),
  lost(3, 4),
  { type: 'slices-reassigned', slices: 2 },
  ...[2, 1, 1, 1, 1].map((slices): NewRunEvent => ({ type: 'straggler', name: 'attic', slices, speculative: ['b'] })),
];

describe('a report', () => {
  it('of a run without workers has zeros, not NaN', () => {
    const report = new RunTotals(null).report(rest, 0, noBytes);
    expect(report).toMatchObject({ imagesPerSecond: 0, engines: [], exact: true, workersJoined: 0 });
    for (const name of phaseNames) expect(report.phases[name]).toBe(0);
  });

  it('has the images per second of training time, and the mean phases of all steps', () => {
    const totals = totalsOf([step(), step({ compute: 5, step: 300 })]);
    const report = totals.report(rest, 256, noBytes);
    // 256 images in 100 ms + 300 ms = 0.4 s: 640 images/s.
    expect(report.imagesPerSecond).toBe(640);
    expect(report.phases).toEqual({ ...phases, compute: 4, step: 200 });
  });

  it('has the fields it was given, the totals, and nothing else', () => {
    // 3 bytes sent to the lost worker and 4 received from it; 20 sent and 30 received for those still connected.
    expect(totalsOf(eventful).report(rest, 256, { sent: 20, received: 30 })).toEqual({
      ...rest,
      lockstepVersion,
      imagesPerSecond: 0,
      fingerprint: 'wasm/1',
      engines: [{ ...wasm, workers: 1 }],
      exact: true,
      exactAsProbed: true,
      workersJoined: 1,
      workersLost: 1,
      slicesReassigned: 2,
      resumedAtSteps: [],
      stragglers: 5,
      slicesDuplicated: 6,
      clippedValues: 0,
      workers: [],
      bytesSent: 23,
      bytesReceived: 34,
      phases: Object.fromEntries(phaseNames.map((name) => [name, 0])),
    });
  });

  it('has the clipped values of all steps', () => {
    const totals = totalsOf([step(), { ...step(), clippedValues: 3 } as NewRunEvent]);
    expect(totalsOf([{ ...step(), clippedValues: 4 } as NewRunEvent], totals).record.clippedValues).toBe(7);
  });

  it('has the work of each worker and how long the others waited for it', () => {
    const contribution = (name: string, images: number, waitedForMs: number): WorkerContribution => ({
      name,
      images,
      phases: { waitMs: 500, augmentMs: 100, computeMs: 700, reduceMs: 50, sendMs: 150 },
      waitedForMs,
    });
    const totals = totalsOf([
      step({}, [contribution('attic', 64, 0), contribution('cellar', 64, 250)]),
      step({}, [contribution('attic', 32, 0), contribution('cellar', 96, 750)]),
    ]);
    expect(totals.imagesOf('cellar')).toBe(160);
    expect(totals.report(rest, 256, noBytes).workers).toEqual([
      // Each worker is busy for 0.1 + 0.7 + 0.05 + 0.15 = 1 s per step.
      { name: 'attic', images: 96, busySeconds: 2, waitSeconds: 1, timesWaitedFor: 0, secondsWaitedFor: 0 },
      { name: 'cellar', images: 160, busySeconds: 2, waitSeconds: 1, timesWaitedFor: 2, secondsWaitedFor: 1 },
    ]);
  });
});

describe('the totals in a checkpoint', () => {
  it('are complete, and a resumed run continues counting from them', () => {
    const before = totalsOf(eventful);
    const record = totalsRecord.parse(JSON.parse(JSON.stringify(before.record)));
    const resumed = new RunTotals('wasm/1', { step: 7, record, isOverridden: false });
    const after = totalsOf([{ type: 'straggler', name: 'attic', slices: 2, speculative: ['cellar'] }], resumed);
    expect(after.report(rest, 256, noBytes)).toMatchObject({
      engines: [{ ...wasm, workers: 1 }],
      workersJoined: 1,
      workersLost: 1,
      slicesReassigned: 2,
      stragglers: 6,
      slicesDuplicated: 8,
      resumedAtSteps: [7],
    });
    expect(before.record).toMatchObject({ stragglers: 5, slicesDuplicated: 6, resumedAtSteps: [] });
  });

  it('record whether the run was ever resumed with changed options, which makes it permanently inexact', () => {
    const { record } = new RunTotals(null, { step: 7, record: new RunTotals(null).record, isOverridden: true });
    const again = new RunTotals(null, { step: 9, record, isOverridden: false });
    expect([new RunTotals(null).exact, again.exact]).toEqual([true, false]);
    expect(again.record.resumedAtSteps).toEqual([7, 9]);
  });
});

describe('the engines of a run', () => {
  it('are counted by fingerprint, whatever the device, and the run is exact while all have its fingerprint', () => {
    const totals = totalsOf([...joined(wasm, 'laptop, 1 thread'), ...joined(wasm, 'tower, 8 threads')]);
    expect(totals.report(rest, 0, noBytes)).toMatchObject({
      exact: true,
      workersJoined: 2,
      fingerprint: 'wasm/1',
      engines: [{ ...wasm, workers: 2 }],
    });
  });

  it('make the run permanently inexact once there is a second fingerprint', () => {
    const totals = totalsOf([wasm, tensorflow, wasm].flatMap((engine) => joined(engine)));
    expect(totals.report(rest, 0, noBytes)).toMatchObject({
      exact: false,
      workersJoined: 3,
      fingerprint: 'wasm/1',
      engines: [
        { ...wasm, workers: 2 },
        { ...tensorflow, workers: 1 },
      ],
    });
  });

  it('make the run exact as probed if one hides its device and computed the same probe', () => {
    const full = 'webgpu/1; vendor=a; architecture=b; device=c; description=d; probe=1';
    const webgpu = (fingerprint: string) => joined({ engine: 'webgpu', fingerprint });
    const totals = (...fingerprints: string[]) => totalsOf(fingerprints.flatMap(webgpu), new RunTotals(full));
    expect(totals(full)).toMatchObject({ exact: true, exactAsProbed: true });
    expect(totals(full, 'webgpu/1; vendor=a; probe=1')).toMatchObject({ exact: false, exactAsProbed: true });
    expect(totals(full, 'webgpu/1; vendor=a; probe=2')).toMatchObject({ exact: false, exactAsProbed: false });
  });

  it('make the run inexact if the only one is not the one that the configuration requires', () => {
    expect(totalsOf(joined(wasm), new RunTotals('wasm/0')).exact).toBe(false);
  });

  it('are unknown until the fingerprint has been chosen; a worker that has only joined does not count', () => {
    const [hasJoined, isAssigned] = joined(wasm);
    const totals = totalsOf([hasJoined], new RunTotals(null));
    expect(totals.report(rest, 0, noBytes)).toMatchObject({ exact: true, fingerprint: null, engines: [] });
    const chosen: NewRunEvent = { type: 'engine-chosen', ...wasm, candidates: [], workersWithout: [] };
    expect(totalsOf([chosen, isAssigned], totals).report(rest, 0, noBytes)).toMatchObject({
      exact: true,
      fingerprint: 'wasm/1',
      engines: [{ ...wasm, workers: 1 }],
    });
  });
});
