// Names of the devices that TensorFlow computes on. They contain every detail that may affect the bits of the results.
import { execFileSync } from 'node:child_process';
import { instructionSets, processorName } from '../../../shared/processor.js';

/** Instruction sets for which TensorFlow's libraries have specialized kernels. Virtual machines may hide some. */
const dispatchedInstructionSets = [
  'avx2',
  'avx_vnni',
  'avx512f',
  'avx512_vnni',
  'avx512_bf16',
  'avx512_fp16',
  'amx_bf16',
];

/** Returns the CPU's name, for example `AMD EPYC family 25 model 17 (avx2 avx512f avx512_vnni avx512_bf16)`. */
export function cpuName(): string {
  const sets = instructionSets(dispatchedInstructionSets);
  return sets === null ? processorName() : `${processorName()} (${sets.join(' ')})`;
}

/** Returns the model of the GPU that this process uses: the first visible one. */
export function gpuName(environment: NodeJS.ProcessEnv = process.env): string {
  const visible = environment['CUDA_VISIBLE_DEVICES']?.split(',')[0];
  const query = ['--query-gpu=name', '--format=csv,noheader', ...(visible ? [`--id=${visible}`] : [])];
  try {
    return execFileSync('nvidia-smi', query, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0];
  } catch {
    return 'GPU of unknown model';
  }
}
