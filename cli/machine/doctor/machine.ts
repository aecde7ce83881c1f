// Checks what every engine needs: Node.js, CPU, memory and C library. The facts are parameters, so that tests can
// describe other machines.
import { availableParallelism, cpus, totalmem } from 'node:os';
import { instructionSets, processorName, processorVendor } from '../../../shared/processor.js';
import { hasFastBfloat16 } from '../../../worker/engines/tensorflow/precision.js';
import { formatGibibytes, type Check } from './check.js';
import { readOptionalFile } from './optional-file.js';

export interface MachineFacts {
  /** Version of Node.js, for example `20.20.0`. */
  nodeVersion: string;
  platform: string;
  architecture: string;
  cpu: string;
  /** CPU vendor as named in /proc/cpuinfo; undefined on systems without that file. */
  vendor: string | undefined;
  /** Supported instruction sets as named in /proc/cpuinfo; null on systems without that file. */
  instructionSets: readonly string[] | null;
  /** Number of CPU cores that this process may use. */
  cores: number;
  coresOfMachine: number;
  /** CPU limit of the container, in cores; null without a limit. */
  coreQuota: number | null;
  memoryBytes: number;
  /** Memory that is available to programs. */
  availableBytes: number;
  /** Version of glibc; undefined if the C library is not glibc. */
  glibcVersion: string | undefined;
}

const minNode = 20;
/** Newest major version that the tests run on. */
const newestTestedNode = 24;
const instructionSetNames: Readonly<Record<string, string>> = {
  avx: 'AVX',
  avx2: 'AVX2',
  avx512f: 'AVX-512',
  avx512_bf16: 'AVX-512 bfloat16',
  avx512_fp16: 'AVX-512 float16',
  amx_bf16: 'AMX bfloat16',
};
/**
 * Available memory below which the check warns. The peak memory use of `bench` with one thread, ResNet-20 and slices of
 * 32 images is 190 MiB with wasm and 630 MiB with tensorflow.
 */
const minAvailableBytes = 2 ** 30;

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
    coreQuota: coreQuotaIn(readOptionalFile('/sys/fs/cgroup/cpu.max')),
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Infinity),
    availableBytes: process.availableMemory(),
    glibcVersion: report.header?.glibcVersionRuntime,
  };
}

/**
 * Returns the CPU limit in cores, or null without a limit.
 * @param cpuMax contents of cpu.max of the control group: `QUOTA PERIOD` in microseconds, or `max PERIOD`
 */
export function coreQuotaIn(cpuMax: string): number | null {
  const [quota, period] = cpuMax.trim().split(' ').map(Number);
  return quota > 0 && period > 0 ? quota / period : null;
}

export function checkMachine(facts: MachineFacts): Check[] {
  return [checkNode(facts), checkProcessor(facts), checkCores(facts), checkMemory(facts), checkCLibrary(facts)];
}

function checkNode({ nodeVersion, platform, architecture }: MachineFacts): Check {
  const about = 'Node.js';
  const major = Number(nodeVersion.split('.', 1)[0]);
  const says = `${nodeVersion} on ${platform} ${architecture}`;
  if (major < minNode) {
    const remedy = `install Node.js ${minNode} or later from nodejs.org`;
    return { about, mark: 'problem', says: `${says}: too old`, remedy };
  }
  if (major > newestTestedNode) {
    const remedy = `if something fails, try Node.js ${newestTestedNode}`;
    return { about, mark: 'warning', says: `${says}: newer than the tested versions`, remedy };
  }
  return { about, mark: 'ok', says };
}

function checkProcessor({ cpu, vendor, instructionSets: sets, architecture }: MachineFacts): Check {
  const about = 'CPU';
  if (sets === null) return { about, mark: 'ok', says: `${cpu}; instruction sets unknown` };
  const says = `${cpu}; ${sets.map((name) => instructionSetNames[name]).join(', ') || 'no AVX'}`;
  if (architecture === 'x64' && !sets.includes('avx')) {
    const remedy = 'use --engine wasm; in a virtual machine, enable host CPU passthrough';
    return { about, mark: 'warning', says: `${says}: TensorFlow needs AVX`, remedy };
  }
  if (!hasFastBfloat16({ vendor, instructionSets: sets })) {
    return { about, mark: 'ok', says: `${says} (no fast bfloat16: --precision bfloat16 does not help on this CPU)` };
  }
  return { about, mark: 'ok', says };
}

function checkCores({ cores, coresOfMachine, coreQuota }: MachineFacts): Check {
  const about = 'CPU cores';
  const limit = cores < coresOfMachine ? ` of ${coresOfMachine}, limited by CPU affinity or a container` : '';
  const says = `${cores}${limit}`;
  if (coreQuota !== null && coreQuota < cores) {
    return {
      about,
      mark: 'warning',
      says: `${says}, but the CPU limit of this container is ${Number(coreQuota.toFixed(2))}`,
      remedy: `use --workers ${Math.max(1, Math.floor(coreQuota))}, so that workers times threads stay within it`,
    };
  }
  return { about, mark: 'ok', says };
}

function checkMemory({ memoryBytes, availableBytes }: MachineFacts): Check {
  const about = 'memory';
  const says = `${formatGibibytes(memoryBytes)}, ${formatGibibytes(availableBytes)} of it available`;
  if (availableBytes >= minAvailableBytes) return { about, mark: 'ok', says };
  const remedy = 'start fewer workers, or use --engine wasm (0.2 GiB per worker; tensorflow needs 0.7 GiB)';
  return { about, mark: 'warning', says, remedy };
}

function checkCLibrary({ glibcVersion, platform }: MachineFacts): Check {
  const about = 'C library';
  if (glibcVersion !== undefined) return { about, mark: 'ok', says: `glibc ${glibcVersion}` };
  const says = platform === 'linux' ? 'not glibc: TensorFlow is not available for it' : `that of ${platform}`;
  return { about, mark: 'ok', says };
}
