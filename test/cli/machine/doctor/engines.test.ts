import { describe, expect, it } from 'vitest';
import { checkTensorFlow, checkWasm, type Probe, type ProbeAnswer } from '../../../../cli/machine/doctor/engines.js';
import { wasmStepSha256 } from '../../../../cli/machine/doctor/self-test.js';

type Loaded = Extract<ProbeAnswer, { loads: true }>;
type NotLoaded = Extract<ProbeAnswer, { loads: false }>;

function loaded(change: Partial<Loaded> = {}): Probe {
  const sound: Loaded = {
    loads: true,
    fingerprint: 'wasm 1',
    sha256: wasmStepSha256,
    repeats: true,
    distanceFromWasm: 1e-6,
    tensorFlow: { isGpuPackage: false, usesGpu: false, folder: '/tf' },
  };
  return { answer: { ...sound, ...change }, ending: 'exit status 0', log: '' };
}

function notLoaded(places: NotLoaded['places'], message = 'TensorFlow does not load'): Probe {
  return { answer: { loads: false, message, places }, ending: 'exit status 0', log: '' };
}

const crashed = (ending: string, log = ''): Probe => ({ answer: null, ending, log });

describe('wasm', () => {
  it('computes what every machine computes, or something else, which no run may use', () => {
    expect(checkWasm(loaded()).mark).toBe('ok');
    const wrong = checkWasm(loaded({ sha256: 'a'.repeat(64) }));
    expect(wrong.mark).toBe('problem');
    expect(wrong.says).toMatch(/other bits than on every other machine \(aaaaaaaaaaaa, not [0-9a-f]{12}\)$/);
    expect(checkWasm(loaded({ sha256: 'a'.repeat(64), repeats: false })).says).toMatch(/and others each time$/);
  });

  it('does not load, or ends its process', () => {
    expect(checkWasm(notLoaded([], 'no kernels.wasm'))).toMatchObject({ mark: 'problem', says: 'no kernels.wasm' });
    expect(checkWasm(crashed('signal SIGKILL')).says).toBe('its process ended early (signal SIGKILL)');
  });
});

describe('tensorflow', () => {
  it('computes, says where it lies, and what its bits depend on', () => {
    const says = 'wasm 1\nin /tf';
    expect(checkTensorFlow(loaded(), false)).toEqual({ about: 'tensorflow', mark: 'ok', says });
  });

  it('computes wrongly, or other bits each time', () => {
    expect(checkTensorFlow(loaded({ distanceFromWasm: 0.5 }), false)).toMatchObject({
      mark: 'problem',
      says: expect.stringContaining('not the right one (off by 0.5)'),
    });
    expect(checkTensorFlow(loaded({ distanceFromWasm: NaN }), false).mark).toBe('problem');
    expect(checkTensorFlow(loaded({ repeats: false }), false)).toMatchObject({
      mark: 'warning',
      says: expect.stringContaining('other bits the second time'),
    });
  });

  it('is missed where it was asked for, and otherwise only warned of', () => {
    const nowhere = notLoaded([{ flavor: 'gpu', packageName: 'p', folder: null, reason: 'not installed' }]);
    const check = { about: 'tensorflow', says: 'not installed', remedy: 'lockstep setup-tensorflow' };
    expect(checkTensorFlow(nowhere, false)).toEqual({ ...check, mark: 'warning' });
    expect(checkTensorFlow(nowhere, true)).toEqual({ ...check, mark: 'problem' });
  });

  it('tells of the places where something is, and how to mend the one that is tried first', () => {
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

  it('ends its process: by an instruction that the processor lacks, or else with its last words', () => {
    expect(checkTensorFlow(crashed('signal SIGILL'), false)).toMatchObject({
      says: 'this processor lacks instructions that TensorFlow was built with',
      remedy: '--engine wasm computes here',
    });
    const says = 'its process ended early (signal SIGABRT): F0000 no threads left';
    expect(checkTensorFlow(crashed('signal SIGABRT', 'I0000 hello\nF0000 no threads left\n'), false).says).toBe(says);
  });
});
