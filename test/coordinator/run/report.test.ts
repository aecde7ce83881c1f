import { describe, expect, it } from 'vitest';
import { totalsRecord, phaseNames, RunTotals, stepPhases, type StepPhases } from '../../../coordinator/run/report.js';
import type { EngineIdentity } from '../../../shared/protocol/engine-identity.js';
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

const rest = {
  seed: 0,
  initialWeightsSha256: null,
  steps: 2,
  epochs: 1,
  imagesSeen: 256,
  imagesTrainedHere: 256,
  wallSeconds: 3,
  weightsSha256: 'f'.repeat(64),
  train: { loss: 2, accuracy: 0.25 },
  validation: null,
  test: { loss: 2.5, accuracy: 0.125 },
};

describe('the phases of a step', () => {
  it('are the mean over the workers, and the coordinator’s own', () => {
    const workers = [
      { phases: { waitMs: 10, augmentMs: 2, computeMs: 30, reduceMs: 0, sendMs: 4 } },
      { phases: { waitMs: 30, augmentMs: 4, computeMs: 10, reduceMs: 1, sendMs: 0 } },
    ];
    expect(stepPhases(workers, { reduce: 5, update: 6, step: 70 })).toEqual({
      waitForWeights: 20,
      augment: 3,
      compute: 20,
      add: 0.5,
      send: 2,
      reduce: 5,
      update: 6,
      step: 70,
    });
  });
});

describe('a report', () => {
  it('of a run without workers has zeros, not NaN', () => {
    const report = new RunTotals().report({ ...rest, imagesTrainedHere: 0 });
    expect(report).toMatchObject({ imagesPerSecond: 0, engines: [], exact: true, workersJoined: 0 });
    for (const name of phaseNames) expect(report.phases[name]).toBe(0);
  });

  it('has images per second of training time and the mean step', () => {
    const ledger = new RunTotals();
    ledger.countStep(phases, []);
    ledger.countStep({ ...phases, compute: 5, step: 300 }, []);
    const report = ledger.report(rest);
    // 256 images in 100 + 300 ms.
    expect(report.imagesPerSecond).toBe(640);
    expect(report.phases).toEqual({ ...phases, compute: 4, step: 200 });
  });

  it('has what it was given and what was counted, and no more', () => {
    const ledger = new RunTotals();
    ledger.countWorker({ engine: 'wasm', fingerprint: 'wasm/1' });
    Object.assign(ledger, { workersLost: 1, slicesReassigned: 2, bytesSent: 3, bytesReceived: 4 });
    Object.assign(ledger, { stragglers: 5, slicesDuplicated: 6 });
    const { imagesTrainedHere: _, ...given } = rest;
    expect(ledger.report(rest)).toEqual({
      ...given,
      lockstepVersion,
      imagesPerSecond: 0,
      engines: [{ engine: 'wasm', fingerprint: 'wasm/1', workers: 1 }],
      exact: true,
      workersJoined: 1,
      workersLost: 1,
      slicesReassigned: 2,
      resumedAtSteps: [],
      stragglers: 5,
      slicesDuplicated: 6,
      workers: [],
      bytesSent: 3,
      bytesReceived: 4,
      phases: ledger.meanPhases(),
    });
  });
});

describe('the ledger of a checkpoint', () => {
  it('has every count, and a resumed run counts on from there', () => {
    const before = new RunTotals();
    before.countWorker({ engine: 'wasm', fingerprint: 'wasm/1' });
    Object.assign(before, { workersLost: 1, slicesReassigned: 2, stragglers: 5, slicesDuplicated: 6 });
    const after = new RunTotals();
    after.resume(7, totalsRecord.parse(JSON.parse(JSON.stringify(before.record()))), false);
    after.stragglers++;
    after.slicesDuplicated += 2;
    expect(after.report(rest)).toMatchObject({
      workersJoined: 1,
      workersLost: 1,
      slicesReassigned: 2,
      stragglers: 6,
      slicesDuplicated: 8,
      resumedAtSteps: [7],
    });
  });

  it('of a version that did not keep stragglers has none', () => {
    const { stragglers: _, slicesDuplicated: __, ...record } = new RunTotals().record();
    expect(totalsRecord.parse(record)).toMatchObject({ stragglers: 0, slicesDuplicated: 0 });
  });
});

describe('the engines of a run', () => {
  const wasm = { engine: 'wasm', fingerprint: 'wasm/1' };
  const tensorflow = { engine: 'tensorflow', fingerprint: 'tensorflow/4.22 1 thread' };

  it('are counted by fingerprint, whatever they compute on, and the run is exact while there is one', () => {
    const ledger = new RunTotals();
    expect(ledger.firstFingerprint).toBeUndefined();
    for (const device of ['laptop, 1 thread', 'tower, 8 threads']) {
      const identity: EngineIdentity = { ...wasm, device };
      ledger.countWorker(identity);
    }
    expect(ledger.report(rest)).toMatchObject({ exact: true, workersJoined: 2 });
    expect(ledger.report(rest).engines).toEqual([{ ...wasm, workers: 2 }]);
    expect(ledger.firstFingerprint).toBe('wasm/1');
  });

  it('make the run inexact for good once there is a second', () => {
    const ledger = new RunTotals();
    for (const engine of [wasm, tensorflow, wasm]) ledger.countWorker(engine);
    expect(ledger.report(rest)).toMatchObject({
      exact: false,
      workersJoined: 3,
      engines: [
        { ...wasm, workers: 2 },
        { ...tensorflow, workers: 1 },
      ],
    });
    expect(ledger.firstFingerprint).toBe('wasm/1');
  });

  it('tells what each worker did, and who was waited for', () => {
    const ledger = new RunTotals();
    const work = (name: string, images: number, waitedForMs: number) => ({
      name,
      images,
      phases: { waitMs: 500, augmentMs: 100, computeMs: 700, reduceMs: 50, sendMs: 150 },
      waitedForMs,
    });
    ledger.countStep(phases, [work('attic', 64, 0), work('cellar', 64, 250)]);
    ledger.countStep(phases, [work('attic', 32, 0), work('cellar', 96, 750)]);
    expect(ledger.report(rest).workers).toEqual([
      // Busy (0.1 + 0.7 + 0.05 + 0.15) s a step.
      { name: 'attic', images: 96, busySeconds: 2, waitSeconds: 1, timesWaitedFor: 0, secondsWaitedFor: 0 },
      { name: 'cellar', images: 160, busySeconds: 2, waitSeconds: 1, timesWaitedFor: 2, secondsWaitedFor: 1 },
    ]);
  });
});
