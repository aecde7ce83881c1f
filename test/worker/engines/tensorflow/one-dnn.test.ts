// When TensorFlow uses oneDNN, what the fingerprint says about it, and that TensorFlow agrees.
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { chooseOneDnn, describeOneDnn, oneDnnState } from '../../../../worker/engines/tensorflow/one-dnn.js';
import { openTensorFlowOrReason } from '../../../support/tensorflow.js';

const avx2 = ['sse4_2', 'fma', 'avx2'];
const avx512 = [...avx2, 'avx512f', 'avx512bw'];

describe('chooseOneDnn', () => {
  it.each([
    { user: undefined, sets: avx2, value: '1' },
    { user: '', sets: avx2, value: '1' },
    { user: '0', sets: avx2, value: '0' },
    { user: 'False', sets: avx2, value: 'False' },
    { user: '1', sets: null, value: '1' },
    { user: undefined, sets: null, value: undefined },
  ])('is $value if the user sets $user and the CPU has $sets', ({ user, sets, value }) => {
    expect(chooseOneDnn(user, sets)).toBe(value);
  });
});

describe('oneDnnState', () => {
  it.each([
    { sets: [], isOnByDefault: false },
    { sets: avx2, isOnByDefault: false },
    { sets: avx512, isOnByDefault: false },
    { sets: [...avx2, 'avx_vnni'], isOnByDefault: true },
    { sets: [...avx512, 'avx512_vnni'], isOnByDefault: true },
    { sets: [...avx512, 'avx512_bf16'], isOnByDefault: true },
    { sets: ['amx_tile'], isOnByDefault: true },
    { sets: ['amx_int8'], isOnByDefault: true },
    { sets: ['amx_bf16'], isOnByDefault: true },
  ])('is $isOnByDefault by default on a CPU with $sets, and otherwise as set', ({ sets, isOnByDefault }) => {
    for (const value of [undefined, '', 'yes', '2', ' 1']) {
      expect(oneDnnState(value, sets)).toEqual({ isOn: isOnByDefault, isOnByDefault });
    }
    for (const value of ['1', 'true', 'TRUE']) expect(oneDnnState(value, sets)).toEqual({ isOn: true, isOnByDefault });
    for (const value of ['0', 'false', 'False']) {
      expect(oneDnnState(value, sets)).toEqual({ isOn: false, isOnByDefault });
    }
  });

  it('is unknown if the instruction sets are', () => {
    expect(oneDnnState('1', null)).toBeNull();
  });
});

describe('describeOneDnn', () => {
  it('adds nothing to the fingerprint where TensorFlow turns oneDNN on by itself', () => {
    expect(describeOneDnn({ isOn: true, isOnByDefault: true })).toEqual([]);
    expect(describeOneDnn({ isOn: true, isOnByDefault: false })).toEqual(['with oneDNN']);
    expect(describeOneDnn({ isOn: false, isOnByDefault: true })).toEqual(['without oneDNN']);
    expect(describeOneDnn({ isOn: false, isOnByDefault: false })).toEqual(['without oneDNN']);
  });
});

const opened = await openTensorFlowOrReason();
const program = `
  const { openTensorFlowEngine } = await import(process.argv[1]);
  const { fingerprint } = (await openTensorFlowEngine({ threads: 1 })).identity;
  process.stdout.write(fingerprint);
`;
const engineModule = new URL('../../../../dist/worker/engines/tensorflow/tensorflow-engine.js', import.meta.url).href;

/** Returns the fingerprint, and whether TensorFlow logs that it uses oneDNN. */
function open(value: string | undefined): { fingerprint: string; isOn: boolean } {
  const { TF_ENABLE_ONEDNN_OPTS: _, ...environment } = process.env;
  const env = {
    ...environment,
    TF_CPP_MIN_LOG_LEVEL: '0',
    ...(value === undefined ? {} : { TF_ENABLE_ONEDNN_OPTS: value }),
  };
  const script = 'exec "$0" --input-type=module --eval "$1" "$2" 2>&1';
  const text = execFileSync('sh', ['-c', script, process.execPath, program, engineModule], { env, encoding: 'utf8' });
  return {
    fingerprint: text.slice(text.lastIndexOf('tfjs-node')),
    isOn: text.includes('oneDNN custom operations are on'),
  };
}

describe('TensorFlow', () => {
  it('uses oneDNN by default, as its log says; the fingerprint depends on that, not on the variable', (context) => {
    if (typeof opened === 'string') context.skip(opened);
    if (process.platform !== 'linux' || process.arch !== 'x64') context.skip('only known on x86 Linux');
    const byDefault = open(undefined);
    expect(byDefault.isOn).toBe(true);
    expect(open('True')).toEqual(byDefault);
    const off = open('0');
    expect(off.isOn).toBe(false);
    expect(off.fingerprint).toMatch(/, without oneDNN/);
    expect(off.fingerprint.replace('without', 'with').replace(', with oneDNN', '')).toBe(
      byDefault.fingerprint.replace(', with oneDNN', ''),
    );
  });
});
