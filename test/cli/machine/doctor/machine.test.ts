import { describe, expect, it } from 'vitest';
import { coreQuotaIn, checkMachine, readMachine, type MachineFacts } from '../../../../cli/machine/doctor/machine.js';

const sound: MachineFacts = {
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

function judge(about: string, change: Partial<MachineFacts> = {}) {
  const check = checkMachine({ ...sound, ...change }).find((one) => one.about === about)!;
  return [check.mark, check.says, check.remedy];
}

describe('the machine', () => {
  it('is all right where nothing is amiss', () => {
    expect(checkMachine(sound)).toEqual([
      { about: 'Node', mark: 'ok', says: '20.20.0 on linux x64' },
      { about: 'processor', mark: 'ok', says: `${sound.cpu}; AVX, AVX2, AVX-512, AVX-512 bfloat16` },
      { about: 'cores', mark: 'ok', says: '8' },
      { about: 'memory', mark: 'ok', says: '32 GiB, 20 GiB of it available' },
      { about: 'C library', mark: 'ok', says: 'glibc 2.36' },
    ]);
  });

  it('has too old a Node, or one that the tests have not seen', () => {
    const old = ['problem', '18.20.0 on linux x64: too old', 'install Node 20 or later (nodejs.org)'];
    expect(judge('Node', { nodeVersion: '18.20.0' })).toEqual(old);
    expect(judge('Node', { nodeVersion: '26.1.0' })[0]).toBe('warning');
  });

  it('has a processor without AVX, without fast bfloat16, or one that does not tell', () => {
    const [mark, says] = judge('processor', { instructionSets: [] });
    expect([mark, says]).toEqual(['warning', `${sound.cpu}; no AVX: TensorFlow needs AVX`]);
    expect(judge('processor', { instructionSets: ['avx', 'avx2'] })[1]).toContain('(no fast bfloat16: --precision');
    expect(judge('processor', { vendor: 'GenuineIntel' })[1]).toContain('(no fast bfloat16: --precision');
    const amx = judge('processor', { vendor: 'GenuineIntel', instructionSets: ['avx', 'amx_bf16'] });
    expect(amx[1]).not.toContain('no fast');
    expect(judge('processor', { instructionSets: null })[0]).toBe('ok');
    expect(judge('processor', { instructionSets: [], architecture: 'arm64' })[0]).toBe('ok');
  });

  it('gives this process a part of its cores, by affinity or by a quota of time', () => {
    expect(judge('cores', { cores: 2 })).toEqual(['ok', '2 of 8: affinity or container', undefined]);
    expect(judge('cores', { coreQuota: 2.5 })).toEqual([
      'warning',
      '8, but this container gets the time of 2.5',
      'no more workers times threads than that: --workers 2',
    ]);
    expect(judge('cores', { coreQuota: 8 })[0]).toBe('ok');
    expect(coreQuotaIn('250000 100000\n')).toBe(2.5);
    expect(coreQuotaIn('max 100000\n')).toBeNull();
    expect(coreQuotaIn('')).toBeNull();
  });

  it('has little memory left, or another C library', () => {
    expect(judge('memory', { availableBytes: 2 ** 29 }).slice(0, 2)).toEqual([
      'warning',
      '32 GiB, 0.5 GiB of it available',
    ]);
    expect(judge('C library', { glibcVersion: undefined })[1]).toBe('not glibc: there is no TensorFlow for it');
  });

  it('can be read here', () => {
    const here = readMachine();
    expect(here.nodeVersion).toBe(process.versions.node);
    expect(here.cores).toBeGreaterThan(0);
    expect(here.availableBytes).toBeGreaterThan(0);
    expect(here.memoryBytes).toBeGreaterThanOrEqual(here.availableBytes);
  });
});
