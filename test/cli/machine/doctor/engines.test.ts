import { describe, expect, it } from 'vitest';
import {
  checkOneDnn,
  checkSpeeds,
  checkTensorFlow,
  checkWasm,
  type Probe,
  type ProbeAnswer,
} from '../../../../cli/machine/doctor/engines.js';
import { stepSha256 } from '../../../../cli/machine/doctor/self-test.js';

type Loaded = Extract<ProbeAnswer, { loads: true }>;
type NotLoaded = Extract<ProbeAnswer, { loads: false }>;

function loaded(change: Partial<Loaded> = {}): Probe {
  const working: Loaded = {
    loads: true,
    fingerprint: 'wasm 1',
    sha256: stepSha256.wasm,
    repeats: true,
    distanceFromWasm: 1e-6,
    imagesPerSecond: 300,
    tensorFlow: { isGpuPackage: false, usesGpu: false, folder: '/tf', usesOneDnn: true },
  };
  return { answer: { ...working, ...change }, exit: 'exit status 0', log: '' };
}

function notLoaded(places: NotLoaded['places'], message = 'TensorFlow does not load'): Probe {
  return { answer: { loads: false, message, places }, exit: 'exit status 0', log: '' };
}

const crashed = (exit: string, log = ''): Probe => ({ answer: null, exit, log });

describe('checkWasm', () => {
  it('compares the result with the one that every machine must compute', () => {
    expect(checkWasm('wasm', loaded(), true).mark).toBe('ok');
    const wrong = checkWasm('wasm', loaded({ sha256: 'a'.repeat(64) }), true);
    expect(wrong.mark).toBe('problem');
    expect(wrong.says).toMatch(/^the result of a test step has the hash aaaaaaaaaaaa instead of [0-9a-f]{12}$/);
    expect(checkWasm('wasm', loaded({ sha256: 'a'.repeat(64), repeats: false }), true).says).toMatch(
      /and a different result each time$/,
    );
  });

  it('reports that the engine does not load, or that its process crashed', () => {
    expect(checkWasm('wasm', notLoaded([], 'no kernels.wasm'), true)).toMatchObject({
      mark: 'problem',
      says: 'no kernels.wasm',
    });
    expect(checkWasm('wasm', crashed('signal SIGKILL'), true).says).toBe('its process crashed (signal SIGKILL)');
  });

  it('compares wasm-fma with a hash of its own, and only warns if it is missing but not required', () => {
    const name = 'wasm-fma';
    expect(checkWasm(name, loaded({ sha256: stepSha256[name] }), false)).toMatchObject({ about: name, mark: 'ok' });
    expect(checkWasm(name, loaded(), false).mark).toBe('problem');
    const missing = notLoaded([], 'needs relaxed SIMD');
    expect(checkWasm(name, missing, false)).toEqual({ about: name, mark: 'warning', says: 'needs relaxed SIMD' });
    expect(checkWasm(name, missing, true).mark).toBe('problem');
  });
});

describe('checkTensorFlow', () => {
  it('reports the fingerprint and the folder', () => {
    const says = 'wasm 1\nin /tf';
    expect(checkTensorFlow(loaded(), false)).toEqual({ about: 'tensorflow', mark: 'ok', says });
  });

  it('reports a wrong gradient, and bits that differ between attempts', () => {
    expect(checkTensorFlow(loaded({ distanceFromWasm: 0.5 }), false)).toMatchObject({
      mark: 'problem',
      says: expect.stringContaining('its gradient is wrong (distance 0.5)'),
    });
    expect(checkTensorFlow(loaded({ distanceFromWasm: NaN }), false).mark).toBe('problem');
    expect(checkTensorFlow(loaded({ repeats: false }), false)).toMatchObject({
      mark: 'warning',
      says: expect.stringContaining('repeating a step gives different bits'),
    });
  });

  it('reports a missing installation as a problem if it is required, and otherwise as a warning', () => {
    const nowhere = notLoaded([{ flavor: 'gpu', packageName: 'p', folder: null, reason: 'not installed' }]);
    const check = { about: 'tensorflow', says: 'not installed', remedy: 'lockstep setup-tensorflow' };
    expect(checkTensorFlow(nowhere, false)).toEqual({ ...check, mark: 'warning' });
    expect(checkTensorFlow(nowhere, true)).toEqual({ ...check, mark: 'problem' });
  });

  it('lists the installations that do not load, and how to repair the one that is tried first', () => {
    const { says, remedy } = checkTensorFlow(
      notLoaded([
        { flavor: 'gpu', packageName: 'gpu-package', folder: '/gpu', reason: 'not installed' },
        { flavor: 'cpu', packageName: 'cpu-package', folder: '/cpu', reason: '/x.node: file too short' },
        {
          flavor: 'gpu',
          packageName: 'gpu-package',
          folder: null,
          reason: 'libcudart.so.11.0: cannot open shared object file: No such file or directory',
        },
      ]),
      false,
    );
    expect(says.split('\n')).toEqual([
      'does not load',
      'cpu-package in /cpu: its native binding is damaged or is not a library for this system',
      'gpu-package installed by npm: libcudart.so.11.0 is missing, which is part of the CUDA version that this build requires',
    ]);
    expect(remedy).toBe('lockstep setup-tensorflow --cpu --force');
  });

  it('explains a crash caused by an unsupported CPU instruction, and quotes the last line of the log for any other crash', () => {
    expect(checkTensorFlow(crashed('signal SIGILL'), false)).toMatchObject({
      says: 'this CPU lacks instructions that TensorFlow was built with',
      remedy: 'use --engine wasm',
    });
    const says = 'its process crashed (signal SIGABRT): F0000 no threads left';
    expect(checkTensorFlow(crashed('signal SIGABRT', 'I0000 hello\nF0000 no threads left\n'), false).says).toBe(says);
  });
});

describe('checkOneDnn', () => {
  const logged = 'port.cc:153] oneDNN custom operations are on. You may see slightly different numerical results';

  function probe(usesOneDnn: boolean | null, log: string, usesGpu = false): Probe {
    return { ...loaded({ tensorFlow: { isGpuPackage: false, usesGpu, folder: '/tf', usesOneDnn } }), log };
  }

  const unset = 'unset TF_ENABLE_ONEDNN_OPTS: convolutions are faster with oneDNN';
  const report = (state: string) => `report this as a bug: the fingerprint says that oneDNN is ${state}`;

  it.each([
    { fingerprint: true, log: logged, mark: 'ok', says: 'on' },
    { fingerprint: null, log: logged, mark: 'ok', says: 'on' },
    { fingerprint: null, log: '', mark: 'ok', says: 'off' },
    { fingerprint: false, log: '', mark: 'warning', says: 'off', remedy: unset },
    { fingerprint: true, log: '', mark: 'warning', says: 'off', remedy: report('on') },
    { fingerprint: false, log: logged, mark: 'warning', says: 'on', remedy: report('off') },
  ])('is $mark if it is $says and the fingerprint says $fingerprint', ({ fingerprint, log, mark, says, remedy }) => {
    expect(checkOneDnn(probe(fingerprint, log))).toEqual([{ about: 'oneDNN', mark, says, remedy }]);
  });

  it('says nothing about GPUs, or if TensorFlow does not load', () => {
    expect(checkOneDnn(probe(true, logged, true))).toEqual([]);
    expect(checkOneDnn(notLoaded([]))).toEqual([]);
    expect(checkOneDnn(crashed('signal SIGILL'))).toEqual([]);
  });
});

describe('checkSpeeds', () => {
  it('lists the engines that load, from fast to slow', () => {
    const probes = { wasm: loaded(), 'wasm-fma': notLoaded([]), tensorflow: loaded({ imagesPerSecond: 350.4 }) };
    const [check] = checkSpeeds(probes);
    expect(check).toMatchObject({ about: 'speed', mark: 'ok' });
    expect(check.says).toMatch(/^tensorflow 350 images\/s, wasm 300 images\/s \(ResNet-20, one thread\)\n/);
  });

  it('says nothing if no engine loads', () => {
    expect(checkSpeeds({ wasm: crashed('signal SIGILL') })).toEqual([]);
  });
});
