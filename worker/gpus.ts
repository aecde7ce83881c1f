// Finds this machine's NVIDIA GPUs, chooses which ones to use, and restricts a process to one of them.
import { execFileSync } from 'node:child_process';
import { LockstepError } from '../shared/errors.js';

export interface Gpu {
  /** Index as reported by nvidia-smi, which orders GPUs by PCI bus ID. */
  index: number;
  /** Product name, for example `NVIDIA H100 80GB HBM3`. */
  name: string;
}

/**
 * Returns the GPUs listed by `nvidia-smi -L`, or an empty array if the command fails, for example because no NVIDIA
 * driver is installed.
 */
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

/** Parses lines such as `GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-…)`. Ignores MIG devices, which are indented. */
export function gpusIn(output: string): Gpu[] {
  return [...output.matchAll(/^GPU (\d+): (.+?)(?: \(UUID: .*\))?$/gm)].map(([, index, name]) => ({
    index: Number(index),
    name,
  }));
}

/**
 * Returns the indices of the GPUs to compute on. Throws `bad-option` if this machine has no GPU, or if the option is
 * malformed, repeats an index, or includes a GPU that does not exist.
 * @param gpus the `gpus` option: `all`, or a comma-separated list of indices such as `0,2`
 */
export function chooseGpus(gpus: string, present: readonly Gpu[]): number[] {
  if (present.length === 0) {
    throw new LockstepError(
      'bad-option',
      `\`gpus\` is ${JSON.stringify(gpus)}, but nvidia-smi lists no GPU on this machine (lockstep doctor explains why)`,
    );
  }
  const indices = present.map(({ index }) => index);
  if (gpus === 'all') return indices;
  const chosen = gpus.split(',').map((index) => (/^\d+$/.test(index) ? Number(index) : NaN));
  const isValid = chosen.every((index) => indices.includes(index)) && new Set(chosen).size === chosen.length;
  if (!isValid) {
    throw new LockstepError(
      'bad-option',
      `\`gpus\` is ${JSON.stringify(gpus)}: it must be all, or a comma-separated list of distinct GPU indices; this machine has ${indices.join(', ')}`,
    );
  }
  return chosen;
}

/**
 * Returns the environment variables that restrict a process to one GPU.
 * @param index the GPU's index in nvidia-smi
 */
export function environmentForGpu(index: number): Record<string, string> {
  return { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: String(index) };
}

/**
 * Returns the indices of the GPUs to use by default: all of them, or none if the engine cannot use GPUs or if
 * CUDA_VISIBLE_DEVICES is already set.
 */
export function defaultGpus(canUseGpus: boolean, environment: NodeJS.ProcessEnv): number[] {
  if (!canUseGpus || environment['CUDA_VISIBLE_DEVICES'] !== undefined) return [];
  return listGpus().map(({ index }) => index);
}
