import { describe, expect, it } from 'vitest';
import type { Probe, ProbeAnswer } from '../../../../cli/machine/doctor/engines.js';
import { checkWebGpu, isWorthProbing } from '../../../../cli/machine/doctor/web-gpu.js';
import { installCommand } from '../../../../worker/engines/webgpu/platform/dawn.js';

const adapter = {
  name: 'Radeon RX 7600',
  vendor: 'amd',
  architecture: 'rdna-3',
  description: 'radv Mesa 25.0.7',
  isSoftware: false,
  features: ['subgroups', 'timestamp-query'],
  limits: {
    maxBufferSize: 2 ** 32,
    maxStorageBufferBindingSize: 2 ** 31,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupStorageSize: 65_536,
  },
};
const software = { ...adapter, name: 'SwiftShader', isSoftware: true };

function probe(change: Partial<Extract<ProbeAnswer, { loads: true }>> = {}): Probe {
  const fingerprint = 'webgpu/1; vendor=amd';
  const answer = {
    loads: true,
    fingerprint,
    sha256: '',
    repeats: true,
    distanceFromWasm: 1e-6,
    imagesPerSecond: 900,
  } as const;
  return { answer: { ...answer, ...change }, exit: 'exit status 0', log: '' };
}

describe('the check of WebGPU', () => {
  it('lists adapters with their limits and features', () => {
    const [adapters, engine] = checkWebGpu({ adapters: [adapter, software] }, probe(), false);
    expect(adapters.says.split('\n')).toEqual([
      '0: Radeon RX 7600 (radv Mesa 25.0.7)',
      '   buffers of up to 4.0 GiB, 2.0 GiB of it bound at a time; 1024 invocations and 65536 bytes per workgroup',
      '   features: subgroups, timestamp-query',
      '1: SwiftShader (radv Mesa 25.0.7); a CPU: only runs with --engine webgpu use it',
      '   buffers of up to 4.0 GiB, 2.0 GiB of it bound at a time; 1024 invocations and 65536 bytes per workgroup',
      '   features: subgroups, timestamp-query',
    ]);
    expect(engine).toMatchObject({ about: 'webgpu', mark: 'ok' });
  });

  it('says how to install the package, which is a problem only if the engine was named', () => {
    const list = { problem: 'the webgpu engine needs the package webgpu', package: 'missing' } as const;
    expect(checkWebGpu(list, undefined, false)).toEqual([
      { about: 'webgpu', mark: 'ok', says: 'the package webgpu is not installed', remedy: installCommand },
    ]);
    expect(checkWebGpu(list, undefined, true)[0].mark).toBe('problem');
  });

  it('warns if the package is installed and cannot be loaded', () => {
    const list = { problem: 'dawn.node: invalid ELF header', package: 'broken' } as const;
    expect(checkWebGpu(list, undefined, false)).toEqual([
      { about: 'webgpu', mark: 'warning', says: 'dawn.node: invalid ELF header', remedy: installCommand },
    ]);
  });

  it('says why there is no adapter', () => {
    const noLoader = { problem: "Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file" };
    expect(checkWebGpu(noLoader, undefined, true)[0]).toMatchObject({ mark: 'problem', says: noLoader.problem });
    expect(checkWebGpu({ adapters: [] }, undefined, false)[0].says).toBe('finds no GPU and no software driver');
  });

  it('computes on a CPU only if the engine was named', () => {
    expect(isWorthProbing({ adapters: [software] }, false)).toBe(false);
    expect(isWorthProbing({ adapters: [software] }, true)).toBe(true);
    expect(isWorthProbing({ adapters: [adapter] }, false)).toBe(true);
    expect(checkWebGpu({ adapters: [software] }, undefined, false)[1].says).toContain('not tried on a CPU');
  });

  it('finds wrong gradients, bits that do not repeat, and crashes', () => {
    const check = (found: Probe) => checkWebGpu({ adapters: [adapter] }, found, false)[1];
    expect(check(probe({ distanceFromWasm: 0.01 }))).toMatchObject({ mark: 'problem' });
    expect(check(probe({ distanceFromWasm: NaN })).says).toContain('its gradient is wrong (distance NaN)');
    expect(check(probe({ repeats: false }))).toMatchObject({ mark: 'warning' });
    expect(check({ answer: null, exit: 'signal SIGSEGV', log: '' }).says).toBe('its process crashed (signal SIGSEGV)');
  });
});
