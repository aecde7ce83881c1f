import { describe, expect, it } from 'vitest';
import { rankEngines, type MeasuredWorker } from '../../../coordinator/engine/choose-engine.js';

/**
 * Returns a worker that offers these engines.
 * @param speeds images per second by fingerprint; null for an engine that was not measured
 */
function worker(speeds: Record<string, number | null>): MeasuredWorker {
  return {
    offers: Object.keys(speeds).map((fingerprint) => ({
      engine: fingerprint.split('/')[0],
      fingerprint,
      device: 'a device',
    })),
    speeds: new Map(Object.entries(speeds).flatMap(([key, speed]) => (speed === null ? [] : [[key, speed]]))),
  };
}

const any = () => true;
const fingerprints = (workers: MeasuredWorker[], isAllowed: Parameters<typeof rankEngines>[1] = any) =>
  rankEngines(workers, isAllowed).map(({ fingerprint }) => fingerprint);

describe('the engine of a run', () => {
  it('is the one with the highest sum of speeds over the workers that offer it', () => {
    // wasm: 200 + 200 = 400; the fastest single worker has tensorflow with 300.
    const workers = [worker({ 'tensorflow/a': 300, 'wasm/1': 200 }), worker({ 'tensorflow/b': 250, 'wasm/1': 200 })];
    expect(rankEngines(workers, any)).toEqual([
      { engine: 'wasm', fingerprint: 'wasm/1', imagesPerSecond: 400, workers: 2 },
      { engine: 'tensorflow', fingerprint: 'tensorflow/a', imagesPerSecond: 300, workers: 1 },
      { engine: 'tensorflow', fingerprint: 'tensorflow/b', imagesPerSecond: 250, workers: 1 },
    ]);
  });

  it('is one that a single worker offers if it is faster than all workers together with another', () => {
    const workers = [worker({ 'tensorflow/gpu': 10_000, 'wasm/1': 200 }), worker({ 'wasm/1': 200 })];
    expect(fingerprints(workers)).toEqual(['tensorflow/gpu', 'wasm/1']);
  });

  it('is one that more workers offer if its speed is within 10% of the highest', () => {
    // wasm: 2 × 45 = 90, which is 90% of 100.
    expect(fingerprints([worker({ 'tensorflow/a': 100, 'wasm/1': 45 }), worker({ 'wasm/1': 45 })])[0]).toBe('wasm/1');
    // wasm: 44 + 45 = 89.
    expect(fingerprints([worker({ 'tensorflow/a': 100, 'wasm/1': 44 }), worker({ 'wasm/1': 45 })])[0]).toBe(
      'tensorflow/a',
    );
  });

  it('adds up the speeds of devices that match as probed, and has the fingerprint of the one that hides the least', () => {
    const [hidden, exposed] = [
      'webgpu/1; vendor=a; probe=1',
      'webgpu/1; vendor=a; architecture=b; device=c; description=d; probe=1',
    ];
    const other = 'webgpu/1; vendor=a; probe=2';
    const workers = [worker({ [hidden]: 100 }), worker({ [exposed]: 50 }), worker({ [other]: 90 })];
    expect(rankEngines(workers, any)).toMatchObject([
      { fingerprint: exposed, imagesPerSecond: 150, workers: 2 },
      { fingerprint: other, imagesPerSecond: 90, workers: 1 },
    ]);
  });

  it('is the fastest if equally many workers offer engines within 10%', () => {
    expect(fingerprints([worker({ 'tensorflow/a': 99, 'wasm-fma/1': 100, 'wasm/1': 98 })])[0]).toBe('wasm-fma/1');
  });

  it('is allowed by the configuration, however slow it is', () => {
    const workers = [worker({ 'tensorflow/a': 1000, 'wasm/1': 1 })];
    expect(fingerprints(workers, ({ engine }) => engine === 'wasm')).toEqual(['wasm/1']);
    expect(fingerprints(workers, () => false)).toEqual([]);
  });

  it('is the one that most workers offer, in order of preference, if nothing was measured', () => {
    const unmeasured = [worker({ 'tensorflow/a': null, 'wasm/1': null }), worker({ 'wasm/1': null })];
    expect(fingerprints(unmeasured)[0]).toBe('wasm/1');
    expect(fingerprints([worker({ 'tensorflow/a': null, 'wasm/1': null })])[0]).toBe('tensorflow/a');
  });

  it('does not exist without workers', () => {
    expect(rankEngines([], any)).toEqual([]);
  });
});
