import { describe, expect, it } from 'vitest';
import { chooseGpus, defaultGpus, environmentForGpu, gpusIn } from '../../worker/gpus.js';

const listing = `GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5a1c33b1-9a3e-4b1f-8b2a-000000000000)
  MIG 1g.5gb      Device  0: (UUID: MIG-7f2e0c1c-0000-5b1f-8b2a-000000000000)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-6b1c33b1-9a3e-4b1f-8b2a-000000000000)
`;
const two = gpusIn(listing);

it("parses nvidia-smi's list and ignores MIG devices", () => {
  expect(two).toEqual([
    { index: 0, name: 'NVIDIA A100-SXM4-40GB' },
    { index: 1, name: 'NVIDIA H100 80GB HBM3' },
  ]);
  expect(gpusIn('')).toEqual([]);
});

describe('chooseGpus', () => {
  it('returns all GPUs, or those listed, in that order', () => {
    expect(chooseGpus('all', two)).toEqual([0, 1]);
    expect(chooseGpus('1', two)).toEqual([1]);
    expect(chooseGpus('1,0', two)).toEqual([1, 0]);
  });

  it.each(['2', '0,0', '-1', '0,', 'one', '1.0', ''])('rejects %j and lists the GPUs that exist', (gpus) => {
    expect(() => chooseGpus(gpus, two)).toThrow(
      `\`gpus\` is ${JSON.stringify(gpus)}: it must be all, or a comma-separated list of distinct GPU indices; this machine has 0, 1`,
    );
  });

  it('fails with a hint if there is no GPU', () => {
    expect(() => chooseGpus('all', [])).toThrow(
      'nvidia-smi lists no GPU on this machine (lockstep doctor explains why)',
    );
  });
});

it('restricts a process to one GPU by its index in nvidia-smi', () => {
  expect(environmentForGpu(3)).toEqual({ CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: '3' });
});

it('chooses none by default if the engine cannot use GPUs or CUDA_VISIBLE_DEVICES is set', () => {
  expect(defaultGpus(false, {})).toEqual([]);
  expect(defaultGpus(true, { CUDA_VISIBLE_DEVICES: '2' })).toEqual([]);
});
