// The NVIDIA GPUs of this machine, which of them were asked for, and how a process is given one.
import { execFileSync } from 'node:child_process';
import { LockstepError } from '../shared/errors.js';

export interface Gpu {
  /** nvidia-smi's number: by place on the bus. */
  index: number;
  /** For example `NVIDIA H100 80GB HBM3`. */
  name: string;
}

/** What `nvidia-smi -L` lists; nothing where there is no NVIDIA driver. */
export function listGpus(): Gpu[] {
  try {
    const output = execFileSync('nvidia-smi', ['-L'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 20_000,
    });
    return gpusIn(output);
  } catch {
    return [];
  }
}

/** @param output lines such as `GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-…)`; MIG devices, which are indented, are left out */
export function gpusIn(output: string): Gpu[] {
  return [...output.matchAll(/^GPU (\d+): (.+?)(?: \(UUID: .*\))?$/gm)].map(([, index, name]) => ({
    index: Number(index),
    name,
  }));
}

/**
 * The numbers of the GPUs to compute on.
 * Throws `bad-option` for text that is neither `all` nor numbers of GPUs that are there.
 * @param asked as on the command line: `all`, or `0,2`
 */
export function chooseGpus(asked: string, present: readonly Gpu[]): number[] {
  if (present.length === 0) {
    throw new LockstepError(
      'bad-option',
      `--gpus is ${JSON.stringify(asked)}, but nvidia-smi lists no GPU here (lockstep doctor says more)`,
    );
  }
  const indices = present.map(({ index }) => index);
  if (asked === 'all') return indices;
  const chosen = asked.split(',').map((part) => (/^\d+$/.test(part) ? Number(part) : NaN));
  const isValid = chosen.every((index) => indices.includes(index)) && new Set(chosen).size === chosen.length;
  if (!isValid) {
    throw new LockstepError(
      'bad-option',
      `--gpus is ${JSON.stringify(asked)}: it must be all, or different numbers out of ${indices.join(', ')}, for example --gpus ${indices[0]}`,
    );
  }
  return chosen;
}

/** The environment of a process that computes on this GPU alone, counted as nvidia-smi counts. */
export function environmentForGpu(index: number): Record<string, string> {
  return { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: String(index) };
}

/**
 * The GPUs that a process takes when none were named: all of them where it can compute on GPUs at all, and none where
 * CUDA_VISIBLE_DEVICES has chosen already.
 */
export function defaultGpus(canUseGpus: boolean, environment: NodeJS.ProcessEnv): number[] {
  if (!canUseGpus || environment['CUDA_VISIBLE_DEVICES'] !== undefined) return [];
  return listGpus().map(({ index }) => index);
}
