// The machine under every engine: Node, processor, memory, C library. What is judged is handed in, so that tests can play
// other machines.
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { instructionSets, processorName, processorVendor } from '../../../shared/processor.js';
import { hasFastBfloat16 } from '../../../worker/engines/tensorflow/precision.js';
import { gibibytes, type Check } from './check.js';

export interface MachineFacts {
  /** Such as `20.20.0`. */
  nodeVersion: string;
  platform: string;
  architecture: string;
  cpu: string;
  /** As /proc/cpuinfo names it; undefined where the system does not tell. */
  vendor: string | undefined;
  /** As /proc/cpuinfo names them; null where the system does not tell. */
  instructionSets: readonly string[] | null;
  /** Cores that this process may run on. */
  cores: number;
  coresOfMachine: number;
  /** What a container may use at a time, in cores; null without a limit. */
  coreQuota: number | null;
  memoryBytes: number;
  /** What is left for programs. */
  availableBytes: number;
  /** Undefined where the C library is another one. */
  glibcVersion: string | undefined;
}

const minNode = 20;
/** The newest that the tests run on. */
const newestTestedNode = 24;
const instructionSetNames: Readonly<Record<string, string>> = {
  avx: 'AVX',
  avx2: 'AVX2',
  avx512f: 'AVX-512',
  avx512_bf16: 'AVX-512 bfloat16',
  avx512_fp16: 'AVX-512 float16',
  amx_bf16: 'AMX bfloat16',
};
/** The peak of `bench` with one thread, ResNet-20, slices of 32: 190 MiB with wasm, 630 MiB with tensorflow. */
const scarceMemoryBytes = 2 ** 30;

export function readMachine(): MachineFacts {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return {
    nodeVersion: process.versions.node,
    platform: process.platform,
    architecture: process.arch,
    cpu: processorName(),
    vendor: processorVendor(),
    instructionSets: instructionSets(Object.keys(instructionSetNames)),
    cores: availableParallelism(),
    coresOfMachine: cpus().length,
    coreQuota: coreQuotaIn(readOptional('/sys/fs/cgroup/cpu.max')),
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Infinity),
    availableBytes: process.availableMemory(),
    glibcVersion: report.header?.glibcVersionRuntime,
  };
}

/** @param cpuMax the control group's file: `QUOTA PERIOD` in microseconds, or `max PERIOD` */
export function coreQuotaIn(cpuMax: string): number | null {
  const [quota, period] = cpuMax.trim().split(' ').map(Number);
  return quota > 0 && period > 0 ? quota / period : null;
}

function readOptional(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // another system, or an older one
  }
}

export function checkMachine(facts: MachineFacts): Check[] {
  return [checkNode(facts), checkProcessor(facts), checkCores(facts), checkMemory(facts), checkCLibrary(facts)];
}

function checkNode({ nodeVersion, platform, architecture }: MachineFacts): Check {
  const about = 'Node';
  const major = Number(nodeVersion.split('.', 1)[0]);
  const says = `${nodeVersion} on ${platform} ${architecture}`;
  if (major < minNode) {
    return {
      about,
      mark: 'problem',
      says: `${says}: too old`,
      remedy: `install Node ${minNode} or later (nodejs.org)`,
    };
  }
  if (major > newestTestedNode) {
    const remedy = `if something fails, try Node ${newestTestedNode}`;
    return { about, mark: 'warning', says: `${says}: newer than what the tests run on`, remedy };
  }
  return { about, mark: 'ok', says };
}

function checkProcessor({ cpu, vendor, instructionSets: sets, architecture }: MachineFacts): Check {
  const about = 'processor';
  if (sets === null) return { about, mark: 'ok', says: `${cpu}; it does not tell its instruction sets` };
  const says = `${cpu}; ${sets.map((name) => instructionSetNames[name]).join(', ') || 'no AVX'}`;
  if (architecture === 'x64' && !sets.includes('avx')) {
    const remedy = '--engine wasm computes without; in a virtual machine, pass the host’s processor through';
    return { about, mark: 'warning', says: `${says}: TensorFlow needs AVX`, remedy };
  }
  if (!hasFastBfloat16({ vendor, instructionSets: sets })) {
    return { about, mark: 'ok', says: `${says} (no fast bfloat16: --precision bfloat16 gains nothing on this CPU)` };
  }
  return { about, mark: 'ok', says };
}

function checkCores({ cores, coresOfMachine, coreQuota }: MachineFacts): Check {
  const about = 'cores';
  const part = cores < coresOfMachine ? ` of ${coresOfMachine}: affinity or container` : '';
  const says = `${cores}${part}`;
  if (coreQuota !== null && coreQuota < cores) {
    return {
      about,
      mark: 'warning',
      says: `${says}, but this container gets the time of ${Number(coreQuota.toFixed(2))}`,
      remedy: `no more workers times threads than that: --workers ${Math.max(1, Math.floor(coreQuota))}`,
    };
  }
  return { about, mark: 'ok', says };
}

function checkMemory({ memoryBytes, availableBytes }: MachineFacts): Check {
  const about = 'memory';
  const says = `${gibibytes(memoryBytes)}, ${gibibytes(availableBytes)} of it available`;
  if (availableBytes >= scarceMemoryBytes) return { about, mark: 'ok', says };
  const remedy = 'fewer workers, or --engine wasm (0.2 GiB a worker; tensorflow takes 0.7)';
  return { about, mark: 'warning', says, remedy };
}

function checkCLibrary({ glibcVersion, platform }: MachineFacts): Check {
  const about = 'C library';
  if (glibcVersion !== undefined) return { about, mark: 'ok', says: `glibc ${glibcVersion}` };
  const says = platform === 'linux' ? 'not glibc: there is no TensorFlow for it' : `of ${platform}`;
  return { about, mark: 'ok', says };
}
