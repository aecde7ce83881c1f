import { describe, expect, it } from 'vitest';
import { coreQuotaIn, checkMachine, readMachine, type MachineFacts } from '../../../../cli/machine/doctor/machine.js';

const goodMachine: MachineFacts = {
  nodeVersion: '20.20.0',
  platform: 'linux',
  architecture: 'x64',
  cpu: 'AMD EPYC family 25 model 17',
  vendor: 'AuthenticAMD',
  instructionSets: ['avx', 'avx2', 'avx512f', 'avx512_bf16'],
  cores: 8,
  coresOfMachine: 8,
  coreQuota: null,
  memoryBytes: 32 * 2 ** 30,
  availableBytes: 20 * 2 ** 30,
  glibcVersion: '2.36',
};

function checkOf(about: string, change: Partial<MachineFacts> = {}) {
  const check = checkMachine({ ...goodMachine, ...change }).find((one) => one.about === about)!;
  return [check.mark, check.says, check.remedy];
}

describe('checkMachine', () => {
  it('finds no problem with a suitable machine', () => {
    expect(checkMachine(goodMachine)).toEqual([
      { about: 'Node.js', mark: 'ok', says: '20.20.0 on linux x64' },
      { about: 'CPU', mark: 'ok', says: `${goodMachine.cpu}; AVX, AVX2, AVX-512, AVX-512 bfloat16` },
      { about: 'CPU cores', mark: 'ok', says: '8' },
      { about: 'memory', mark: 'ok', says: '32 GiB, 20 GiB of it available' },
      { about: 'C library', mark: 'ok', says: 'glibc 2.36' },
    ]);
  });

  it('reports a version of Node.js that is too old, or newer than the tested ones', () => {
    const old = ['problem', '18.20.0 on linux x64: too old', 'install Node.js 20 or later from nodejs.org'];
    expect(checkOf('Node.js', { nodeVersion: '18.20.0' })).toEqual(old);
    expect(checkOf('Node.js', { nodeVersion: '26.1.0' })[0]).toBe('warning');
  });

  it('reports a CPU without AVX, without fast bfloat16, or with unknown instruction sets', () => {
    const [mark, says] = checkOf('CPU', { instructionSets: [] });
    expect([mark, says]).toEqual(['warning', `${goodMachine.cpu}; no AVX: TensorFlow needs AVX`]);
    expect(checkOf('CPU', { instructionSets: ['avx', 'avx2'] })[1]).toContain('(no fast bfloat16: --precision');
    expect(checkOf('CPU', { vendor: 'GenuineIntel' })[1]).toContain('(no fast bfloat16: --precision');
    const amx = checkOf('CPU', { vendor: 'GenuineIntel', instructionSets: ['avx', 'amx_bf16'] });
    expect(amx[1]).not.toContain('no fast');
    expect(checkOf('CPU', { instructionSets: null })[0]).toBe('ok');
    expect(checkOf('CPU', { instructionSets: [], architecture: 'arm64' })[0]).toBe('ok');
  });

  it('reports CPU cores that are limited by affinity or by a quota', () => {
    expect(checkOf('CPU cores', { cores: 2 })).toEqual([
      'ok',
      '2 of 8, limited by CPU affinity or a container',
      undefined,
    ]);
    expect(checkOf('CPU cores', { coreQuota: 2.5 })).toEqual([
      'warning',
      '8, but the CPU limit of this container is 2.5',
      'use --workers 2, so that workers times threads stay within it',
    ]);
    expect(checkOf('CPU cores', { coreQuota: 8 })[0]).toBe('ok');
    expect(coreQuotaIn('250000 100000\n')).toBe(2.5);
    expect(coreQuotaIn('max 100000\n')).toBeNull();
    expect(coreQuotaIn('')).toBeNull();
  });

  it('reports little available memory, and a C library other than glibc', () => {
    expect(checkOf('memory', { availableBytes: 2 ** 29 }).slice(0, 2)).toEqual([
      'warning',
      '32 GiB, 0.5 GiB of it available',
    ]);
    expect(checkOf('C library', { glibcVersion: undefined })[1]).toBe('not glibc: TensorFlow is not available for it');
  });

  it('gets plausible data about this machine from readMachine', () => {
    const here = readMachine();
    expect(here.nodeVersion).toBe(process.versions.node);
    expect(here.cores).toBeGreaterThan(0);
    expect(here.availableBytes).toBeGreaterThan(0);
    expect(here.memoryBytes).toBeGreaterThanOrEqual(here.availableBytes);
  });
});
