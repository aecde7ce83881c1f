import { describe, expect, it } from 'vitest';
import { RunEngine } from '../../../coordinator/engine/run-engine.js';

const tensorflow = { engine: 'tensorflow', fingerprint: 'tensorflow/a', device: 'a CPU' };
const other = { engine: 'tensorflow', fingerprint: 'tensorflow/b', device: 'another CPU' };
const wasm = { engine: 'wasm', fingerprint: 'wasm/1', device: 'a CPU' };
const any = { engine: 'auto', fingerprint: null, exact: false } as const;

describe('a worker', () => {
  it('gets no engine until the run has one, and then the one of the run', () => {
    const engine = new RunEngine(any);
    expect([engine.fingerprint, engine.engineFor([tensorflow, wasm])]).toEqual([null, undefined]);
    engine.choose('wasm/1');
    expect([engine.fingerprint, engine.engineFor([tensorflow, wasm])]).toEqual(['wasm/1', wasm]);
  });

  it('without the engine of the run uses the first of its own that the configuration allows', () => {
    expect(new RunEngine({ ...any, fingerprint: 'wasm/0' }).engineFor([tensorflow, wasm])).toBe(tensorflow);
    const onlyWasm = new RunEngine({ engine: 'wasm', fingerprint: 'wasm/0', exact: false });
    expect(onlyWasm.engineFor([tensorflow, wasm])).toBe(wasm);
  });

  it('is refused by an exact run if it lacks its fingerprint', () => {
    const exact = new RunEngine({ ...any, fingerprint: 'tensorflow/a', exact: true });
    expect(exact.refusalOf([tensorflow, wasm])).toBeUndefined();
    expect(exact.refusalOf([other, wasm])).toMatchObject({
      code: 'fingerprint',
      message: expect.stringContaining('uses tensorflow/a, but this worker offers tensorflow/b and wasm/1'),
    });
    expect(new RunEngine({ ...any, fingerprint: 'tensorflow/a' }).refusalOf([other])).toBeUndefined();
  });

  it('is admitted by an exact run that has no engine yet', () => {
    expect(new RunEngine({ ...any, exact: true }).refusalOf([wasm])).toBeUndefined();
  });

  it('is refused, whether or not the run is exact, if it lacks the engine that the configuration names', () => {
    const engine = new RunEngine({ ...any, engine: 'tensorflow' });
    expect(engine.refusalOf([other])).toBeUndefined();
    expect(engine.refusalOf([wasm])).toMatchObject({
      code: 'fingerprint',
      message: expect.stringContaining('the run uses the tensorflow engine, but this worker offers wasm/1'),
    });
  });
});

describe('an engine that needs a probe', () => {
  const plain = { engine: 'webgpu', fingerprint: 'webgpu/1; vendor=a', device: 'a GPU', needsProbe: true };
  const full = 'webgpu/1; vendor=a; architecture=b; device=c; description=d; probe=1';
  const hidden = { engine: 'webgpu', fingerprint: 'webgpu/1; vendor=a; probe=1', device: 'a GPU' };

  it('is probed unless the run uses another engine, or does not allow it', () => {
    const probedBy = (settings: Partial<ConstructorParameters<typeof RunEngine>[0]>) =>
      new RunEngine({ ...any, ...settings }).needingProbe([wasm, plain]).length;
    expect([probedBy({}), probedBy({ engine: 'webgpu' }), probedBy({ fingerprint: full })]).toEqual([1, 1, 1]);
    expect([probedBy({ engine: 'wasm' }), probedBy({ fingerprint: 'wasm/1' })]).toEqual([0, 0]);
  });

  it('is not used by a run that does not name it if its device emulates a GPU', () => {
    const emulated = { ...plain, onlyIfNamed: true };
    expect(new RunEngine(any).needingProbe([emulated])).toEqual([]);
    expect(new RunEngine({ ...any, engine: 'webgpu' }).needingProbe([emulated])).toEqual([emulated]);
  });

  it('is not refused by an exact run before it is probed', () => {
    const exact = new RunEngine({ ...any, engine: 'webgpu', fingerprint: full, exact: true });
    expect(exact.refusalOf([plain])).toBeUndefined();
    expect(exact.refusalOf([{ ...hidden, fingerprint: full.replace('probe=1', 'probe=2') }])?.message).toContain(
      'is exact',
    );
  });

  it('matches as probed, but an exact run refuses a device that hides what it is', () => {
    const settings = { ...any, engine: 'webgpu', fingerprint: full } as const;
    expect(new RunEngine(settings).engineFor([hidden])).toBe(hidden);
    expect(new RunEngine({ ...settings, exact: true }).refusalOf([hidden])?.message).toContain(
      'this worker does not say which device it has (webgpu/1; vendor=a; probe=1)',
    );
  });
});

describe('a browser', () => {
  it('is told that it lacks the engine, as its user cannot choose another one', () => {
    const message =
      'this run needs the tensorflow engine, which browsers do not have: they can join runs that use the wasm or the webgpu engine';
    const named = new RunEngine({ ...any, engine: 'tensorflow' });
    expect(named.refusalOf([wasm], true)).toEqual({ code: 'fingerprint', message });
    const exact = new RunEngine({ ...any, fingerprint: 'tensorflow/a', exact: true });
    expect(exact.refusalOf([wasm], true)).toEqual({ code: 'fingerprint', message });
    expect(new RunEngine({ ...any, engine: 'webgpu' }).refusalOf([wasm], true)?.message).toBe(
      'this run needs the webgpu engine, which this browser does not offer, because it has no WebGPU or no GPU: use another ' +
        'browser or another device',
    );
    // A Node worker may use a link too.
    expect(named.refusalOf([tensorflow], true)).toBeUndefined();
  });

  it('learns which engine it needs before it joins', () => {
    expect(new RunEngine(any).required).toBeUndefined();
    expect(new RunEngine({ ...any, fingerprint: 'wasm/1' }).required).toBeUndefined();
    expect(new RunEngine({ ...any, engine: 'wasm' }).required).toBe('wasm');
    expect(new RunEngine({ ...any, fingerprint: 'tensorflow/a', exact: true }).required).toBe('tensorflow');
  });
});
