// What this process's TensorFlow computes on, as precisely as its bits may depend on it.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Instruction sets for which TensorFlow's libraries have kernels of their own. A virtual machine may hide some. */
const dispatchedInstructionSets = [
  'avx2',
  'avx_vnni',
  'avx512f',
  'avx512_vnni',
  'avx512_bf16',
  'avx512_fp16',
  'amx_bf16',
];

/** Of these instruction sets those that the processor has, as /proc/cpuinfo names them; null where it does not tell. */
export function instructionSets(asked: readonly string[]): string[] | null {
  const flags = processorFields().get('flags')?.split(' ');
  return flags === undefined ? null : asked.filter((name) => flags.includes(name));
}

/** For example `GenuineIntel`; undefined where the system does not tell. */
export function processorVendor(): string | undefined {
  return processorFields().get('vendor_id');
}

/** For example `AMD EPYC family 25 model 17 (avx2 avx512f avx512_vnni avx512_bf16)`. */
export function cpuName(): string {
  const name = cpus()[0]?.model.trim() ?? process.arch;
  const fields = processorFields();
  const family = fields.get('cpu family');
  if (family === undefined) return name;
  const sets = instructionSets(dispatchedInstructionSets)?.join(' ') ?? '';
  return `${name} family ${family} model ${fields.get('model')} (${sets})`;
}

/** What the system tells of one processor; nothing where it does not tell. */
function processorFields(): ReadonlyMap<string, string> {
  return new Map(firstProcessor().map((line) => line.split(':', 2).map((part) => part.trim()) as [string, string]));
}

/** The lines about one processor; none where the system does not tell. */
function firstProcessor(): string[] {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8').split('\n\n', 1)[0].split('\n');
  } catch {
    return [];
  }
}

/** The model of the GPU that this process uses: the first that CUDA_VISIBLE_DEVICES leaves. */
export function gpuName(environment: NodeJS.ProcessEnv = process.env): string {
  const visible = environment['CUDA_VISIBLE_DEVICES']?.split(',')[0];
  const query = ['--query-gpu=name', '--format=csv,noheader', ...(visible ? [`--id=${visible}`] : [])];
  try {
    return execFileSync('nvidia-smi', query, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0];
  } catch {
    return 'GPU of unknown model';
  }
}
