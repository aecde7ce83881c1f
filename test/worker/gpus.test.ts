import { describe, expect, it } from 'vitest';
import { chooseGpus, defaultGpus, environmentForGpu, gpusIn } from '../../worker/gpus.js';

const listing = `GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5a1c33b1-9a3e-4b1f-8b2a-000000000000)
  MIG 1g.5gb      Device  0: (UUID: MIG-7f2e0c1c-0000-5b1f-8b2a-000000000000)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-6b1c33b1-9a3e-4b1f-8b2a-000000000000)
`;
const two = gpusIn(listing);

it("reads nvidia-smi's list, without the parts that a GPU is divided into", () => {
  expect(two).toEqual([
    { index: 0, name: 'NVIDIA A100-SXM4-40GB' },
    { index: 1, name: 'NVIDIA H100 80GB HBM3' },
  ]);
  expect(gpusIn('')).toEqual([]);
});

describe('choosing', () => {
  it('takes all, or those that are named, in the order given', () => {
    expect(chooseGpus('all', two)).toEqual([0, 1]);
    expect(chooseGpus('1', two)).toEqual([1]);
    expect(chooseGpus('1,0', two)).toEqual([1, 0]);
  });

  it.each(['2', '0,0', '-1', '0,', 'one', '1.0', ''])('refuses %j, naming what is there', (asked) => {
    expect(() => chooseGpus(asked, two)).toThrow(
      `--gpus is ${JSON.stringify(asked)}: it must be all, or different numbers out of 0, 1, for example --gpus 0`,
    );
  });

  it('says where there is no GPU at all', () => {
    expect(() => chooseGpus('all', [])).toThrow('nvidia-smi lists no GPU here (lockstep doctor says more)');
  });
});

it('gives a process one GPU, counted as nvidia-smi counts', () => {
  expect(environmentForGpu(3)).toEqual({ CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: '3' });
});

it('takes none by itself where it cannot compute on them, or where the environment has chosen', () => {
  expect(defaultGpus(false, {})).toEqual([]);
  expect(defaultGpus(true, { CUDA_VISIBLE_DEVICES: '2' })).toEqual([]);
});
