import { describe, expect, it } from 'vitest';
import { measure } from './measure.js';
import { planOf } from './options.js';

const script = (code: string) => ({
  name: 'peer',
  command: [process.execPath, '-e', code] as [string, ...string[]],
  environment: {},
});
const plan = (...args: string[]) => planOf(args, { LOCKSTEP_TORCH_PYTHON: 'torch-python' }, 2, true);

describe('the options of the peers benchmark', () => {
  it('measures wasm on one core beside PyTorch by default', () => {
    const { rounds, lockstep, peer } = plan();
    expect(rounds).toBe(5);
    expect(lockstep.map(({ command }) => command.join(' '))).toEqual([
      expect.stringMatching(/^taskset -c 0 .*cli\.js bench --engine wasm --rounds 1 --seconds 5 --json$/),
    ]);
    expect(peer.command.join(' ')).toMatch(/^taskset -c 0 torch-python .*torch_network\.py --processes 1 --seconds 5$/);
    expect(peer.environment).toMatchObject({ OMP_NUM_THREADS: '1' });
    expect(JSON.parse(peer.environment['NETWORK'])).toMatchObject({ name: 'resnet20' });
  });

  it('passes the options that both sides have to both', () => {
    const { lockstep, peer } = plan('--workers', '2', '--', '--engine', 'tensorflow', '--batch-size', '64');
    expect(lockstep[0].command.join(' ')).toMatch(
      /^taskset -c 0-1 .* --workers 2 --engine tensorflow --batch-size 64$/,
    );
    expect(peer.command.join(' ')).toMatch(/^taskset -c 0-1 .* --processes 2 --seconds 5 --batch-size 64$/);
  });

  it('gives PyTorch the network that bench trains', () => {
    const { lockstep, peer } = plan('--', '--network', 'mlp', '--image-shape', '28x28x1');
    expect(lockstep[0].command.join(' ')).toMatch(/ --network mlp --image-shape 28x28x1$/);
    expect(peer.command.join(' ')).toMatch(/ --seconds 5 --image-shape 28x28x1$/);
    expect(JSON.parse(peer.environment['NETWORK'])).toMatchObject({ name: 'mlp' });
  });

  it('measures several engines, held to an instruction set', () => {
    const { lockstep, peer } = plan(
      '--engines',
      'wasm,tensorflow',
      '--isa',
      'avx2',
      '--cpus',
      'all',
      '--peer',
      'run it',
    );
    const limits = { ONEDNN_MAX_CPU_ISA: 'AVX2', ATEN_CPU_CAPABILITY: 'avx2' };
    expect(lockstep.map(({ name }) => name)).toEqual(['Lockstep, wasm', 'Lockstep, tensorflow']);
    expect(lockstep[1].environment).toEqual(limits);
    expect(peer.command).toEqual(['sh', '-c', 'run it']);
    expect(peer.environment).toEqual({ OMP_NUM_THREADS: '1', ...limits });
  });

  it.each([
    [['--rounds', '0'], '--rounds is 0: give a whole number from 1'],
    [['--isa', 'sse'], '--isa is sse: use avx2 or avx512'],
    [['--engines', 'wasm', '--', '--engine', 'wasm'], '--engines is wasm and --engine is wasm: give only one'],
    [['--round', '3'], "Unknown option '--round'"],
  ])('rejects %j', (args, message) => {
    expect(() => plan(...args)).toThrow(message);
  });

  it('does not pin without taskset, or with more threads than cores', () => {
    expect(planOf(['--peer', 'run it'], {}, 2, false).peer.command[0]).toBe('sh');
    expect(plan('--', '--threads', '4').peer.command[0]).toBe('torch-python');
    expect(() => planOf(['--cpus', '0'], {}, 2, false)).toThrow('there is no taskset');
  });
});

describe('the result of a measured command', () => {
  it('is the last line of the output', async () => {
    const line = JSON.stringify({ peer: 'PyTorch 2', device: 'AVX2', imagesPerSecond: 12.5 });
    expect(await measure(script(`console.log('started'); console.log('${line}')`))).toEqual({
      imagesPerSecond: 12.5,
      versions: 'PyTorch 2, AVX2',
    });
  });

  it.each([
    ["console.error('no torch'); process.exit(3)", /ended with status 3\n[^]*no torch/],
    ["console.log('done')", /not JSON with imagesPerSecond\n[^]*done/],
    ["console.log('null')", /not JSON with imagesPerSecond/],
    ['console.log(\'{"imagesPerSecond":0}\')', /not JSON with imagesPerSecond/],
  ])('is missing after %s', async (code, message) => {
    await expect(measure(script(code))).rejects.toThrow(message);
  });

  it('is missing if the program does not exist', async () => {
    const subject = { ...script(''), command: ['no-such-program'] as [string] };
    await expect(measure(subject)).rejects.toThrow('cannot run no-such-program');
  });
});
