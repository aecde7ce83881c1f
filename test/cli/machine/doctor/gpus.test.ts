// The data about GPUs is simulated, because the test machine may have no GPU.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkGpus, readGpus, type GpuFacts, type TensorFlowOnGpus } from '../../../../cli/machine/doctor/gpus.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';

const none: GpuFacts = {
  devicesOnBus: 0,
  driverVersion: undefined,
  smi: { isInstalled: false, succeeded: false, output: '' },
  visibleDevices: undefined,
};
const two: GpuFacts = {
  devicesOnBus: 2,
  driverVersion: '550.54.15',
  smi: {
    isInstalled: true,
    succeeded: true,
    output: '0, NVIDIA H100 80GB HBM3, 550.54.15, 81559 MiB\n1, NVIDIA H100 80GB HBM3, 550.54.15, 81559 MiB',
  },
  visibleDevices: undefined,
};
const onGpu: TensorFlowOnGpus = { isGpuPackage: true, usesGpu: true, log: '' };

const failed = (output: string) => ({ isInstalled: true, succeeded: false, output });

describe('checkGpus, about the driver,', () => {
  const first = (facts: Partial<GpuFacts>, base = none) => checkGpus({ ...base, ...facts }, onGpu)[0];

  it('finds no problem without a GPU', () => {
    expect(checkGpus(none, null)).toEqual([{ about: 'GPUs', mark: 'ok', says: 'no NVIDIA GPU' }]);
    expect(first({ smi: failed('No devices were found') }).mark).toBe('ok');
    expect(first({ smi: { isInstalled: true, succeeded: true, output: '' } }).says).toMatch(/^none/);
  });

  it('lists the GPUs', () => {
    expect(first({}, two)).toEqual({
      about: 'GPUs',
      mark: 'ok',
      says: '0: NVIDIA H100 80GB HBM3, 81559 MiB\n1: NVIDIA H100 80GB HBM3, 81559 MiB\ndriver 550.54.15',
    });
  });

  it.each([
    [
      'a driver that is too old',
      { smi: { ...two.smi, output: '0, Tesla V100, 470.82.01, 16160 MiB' } },
      /470\.82\.01: too old for CUDA 12/,
    ],
    ['a driver that is not installed', { devicesOnBus: 1 }, /^1 NVIDIA GPU without a driver$/],
    [
      'a driver without nvidia-smi',
      { devicesOnBus: 1, driverVersion: '550.1' },
      /driver 550\.1 is loaded, but nvidia-smi is not/,
    ],
    [
      'a driver that does not respond',
      { devicesOnBus: 1, smi: failed("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.") },
      /^nvidia-smi failed: NVIDIA-SMI has failed/,
    ],
    [
      'a driver that was updated while it ran',
      { devicesOnBus: 1, smi: failed('Failed to initialize NVML: Driver/library version mismatch') },
      /^Failed to initialize NVML/,
    ],
  ])('reports %s', (_, facts, says) => {
    const check = first(facts);
    expect(check.mark).toBe('warning');
    expect(check.says).toMatch(says);
    expect(check.remedy).toMatch(/driver|restart|container/);
  });
});

describe('checkGpus, about TensorFlow on the GPUs,', () => {
  const second = (tensorFlow: TensorFlowOnGpus | null, facts: Partial<GpuFacts> = {}) => {
    const { mark, says, remedy } = checkGpus({ ...two, ...facts }, tensorFlow)[1];
    return [mark, says, remedy];
  };
  const without = (log: string): TensorFlowOnGpus => ({ isGpuPackage: true, usesGpu: false, log });

  it('reports that it works, does not load, or is for CPUs', () => {
    expect(second(onGpu)).toEqual(['ok', 'works', undefined]);
    expect(second(null)).toEqual(['warning', 'does not load', 'lockstep setup-tensorflow --gpu']);
    expect(second({ ...onGpu, usesGpu: false, isGpuPackage: false })).toEqual([
      'warning',
      'the installed TensorFlow is for CPUs',
      'lockstep setup-tensorflow --gpu',
    ]);
  });

  it.each([
    [
      "Could not load dynamic library 'libcudnn.so.9'; dlerror: libcudnn.so.9: cannot open shared object file: No such file",
      /does not find libcudnn\.so\.9/,
      /--gpu --force/,
    ],
    ['Cannot dlopen some GPU libraries. Please make sure …', /the CUDA libraries/, /--gpu --force/],
    ['CUDA driver version is insufficient for CUDA runtime version', /older than the CUDA libraries/, /driver 525/],
    [
      'failed call to cuInit: CUDA_ERROR_UNKNOWN: unknown error',
      /uses the CPU \(CUDA_ERROR_UNKNOWN\)/,
      /to see its log/,
    ],
    ['', /^uses the CPU$/, /to see its log/],
  ])('explains from the log %j why it does not use a GPU', (log, says, remedy) => {
    const check = second(without(log));
    expect(check[0]).toBe('warning');
    expect(check[1]).toMatch(says);
    expect(check[2]).toMatch(remedy);
  });

  it('reports that CUDA_VISIBLE_DEVICES hides the GPUs', () => {
    expect(second(without(''), { visibleDevices: '' })[1]).toBe('CUDA_VISIBLE_DEVICES is "", which hides all GPUs');
  });
});

it('readGpus reads the PCI bus, the driver version and the output of nvidia-smi', async () => {
  const root = await temporaryFolder();
  const write = (file: string, text: string) => {
    mkdirSync(path.join(root, path.dirname(file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
  };
  const device = (name: string, vendor: string, kind: string) => {
    write(`sys/bus/pci/devices/${name}/vendor`, `${vendor}\n`);
    write(`sys/bus/pci/devices/${name}/class`, `${kind}\n`);
  };
  device('0000:01:00.0', '0x10de', '0x030200');
  device('0000:01:00.1', '0x10de', '0x040300'); // an audio device
  device('0000:02:00.0', '0x1af4', '0x030000'); // another vendor
  write(
    'proc/driver/nvidia/version',
    'NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12.2.0\n',
  );
  const commands: string[] = [];
  const host = {
    run: async ({ program, args }: { program: string; args: readonly string[] }) => {
      commands.push([program, ...args].join(' '));
      return { exitStatus: null, standardOutput: '', output: 'spawn nvidia-smi ENOENT' };
    },
  };
  expect(await readGpus(host, { CUDA_VISIBLE_DEVICES: '1' }, root)).toEqual({
    devicesOnBus: 1,
    driverVersion: '535.104.05',
    smi: { isInstalled: false, succeeded: false, output: 'spawn nvidia-smi ENOENT' },
    visibleDevices: '1',
  });
  expect(commands).toEqual(['nvidia-smi --query-gpu=index,name,driver_version,memory.total --format=csv,noheader']);
  write(
    'proc/driver/nvidia/version',
    'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  565.57.01  Release Build\n',
  );
  expect((await readGpus(host, {}, root)).driverVersion).toBe('565.57.01');
});
