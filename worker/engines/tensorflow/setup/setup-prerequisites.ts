// Prerequisites for installing TensorFlow, and how to install the missing ones.
import { LockstepError } from '../../../../shared/errors.js';
import type { TensorFlowFlavor } from '../install-folder.js';
import type { SetupHost, Tool } from './setup-host.js';

const gigabyte = 1e9;

/**
 * Required disk space: peak usage (unpacked wheels and the last download; measured: 1.7 GB for CPUs, 9.0 GB for GPUs)
 * plus a margin.
 */
const neededBytes: Record<TensorFlowFlavor, number> = { cpu: 2.5 * gigabyte, gpu: 11 * gigabyte };

interface Prerequisite {
  name: string;
  /** Command that succeeds if the prerequisite is installed. */
  probe: Tool;
  remedy: string;
}

const prerequisites: readonly Prerequisite[] = [
  {
    name: 'npm',
    probe: { program: 'npm', args: ['--version'] },
    remedy: 'it is part of Node.js (https://nodejs.org); on Debian and Ubuntu: apt-get install npm',
  },
  {
    name: 'python3',
    probe: { program: 'python3', args: ['--version'] },
    remedy: 'on Debian and Ubuntu: apt-get install python3 (any version, because it only downloads the library)',
  },
  {
    name: 'pip',
    probe: { program: 'python3', args: ['-m', 'pip', '--version'] },
    remedy: 'on Debian and Ubuntu: apt-get install python3-pip; elsewhere: python3 -m ensurepip',
  },
  {
    name: 'g++',
    probe: { program: 'g++', args: ['--version'] },
    remedy: 'on Debian and Ubuntu: apt-get install g++; on Fedora: dnf install gcc-c++',
  },
];

/** The first pip version that supports wheels for a specific glibc version, such as those of TensorFlow. */
const minPip = [20, 3] as const;
const minGlibc = [2, 27] as const;

/** Throws `setup-failed` if TensorFlow is not available for this platform. */
export function assertSupportedMachine(flavor: TensorFlowFlavor, host: SetupHost): void {
  const { platform, architecture, glibcVersion } = host;
  const unsupported = (what: string) => {
    throw new LockstepError('setup-failed', `${what} The wasm engine works here without TensorFlow.`);
  };
  if (platform !== 'linux' || !['x64', 'arm64'].includes(architecture)) {
    unsupported(`TensorFlow can be installed on Linux x64 and arm64; this is ${platform} ${architecture}.`);
  }
  if (glibcVersion === undefined || isOlder(glibcVersion, minGlibc)) {
    const has = glibcVersion === undefined ? 'has another C library' : `has ${glibcVersion}`;
    unsupported(`TensorFlow needs glibc ${minGlibc.join('.')} or newer; this system ${has}.`);
  }
  if (flavor === 'gpu' && architecture !== 'x64') {
    throw new LockstepError(
      'setup-failed',
      `TensorFlow's GPU libraries are available for x64 only; this is ${architecture}. Run lockstep setup-tensorflow --cpu.`,
    );
  }
}

/** Throws `setup-failed` if prerequisites are missing. The message lists them and how to get them. */
export async function assertPrerequisites(flavor: TensorFlowFlavor, home: string, host: SetupHost): Promise<void> {
  const missing = await missingPrerequisites(flavor, home, host);
  if (missing.length === 0) return;
  throw new LockstepError(
    'setup-failed',
    `setup-tensorflow requires:\n${missing.map((line) => `  ${line}`).join('\n')}`,
  );
}

/** Returns the missing prerequisites, each as `NAME: how to get it`. */
export async function missingPrerequisites(flavor: TensorFlowFlavor, home: string, host: SetupHost): Promise<string[]> {
  const missing: string[] = [];
  for (const { name, probe, remedy } of prerequisites) {
    const { exitStatus, standardOutput } = await host.run(probe);
    if (exitStatus !== 0) missing.push(`${name}: ${remedy}`);
    // The output has the form "pip 23.2.1 from …".
    else if (name === 'pip' && isOlder(standardOutput.split(' ')[1] ?? '', minPip)) {
      missing.push(`pip ${minPip.join('.')} or newer: python3 -m pip install --upgrade pip`);
    }
  }
  const freeBytes = await host.freeBytes(home);
  if (freeBytes < neededBytes[flavor]) {
    missing.push(
      `disk space: ${home} has ${gigabytes(freeBytes)} GB free, but ${gigabytes(neededBytes[flavor])} GB are required; set LOCKSTEP_HOME to use another folder`,
    );
  }
  return missing;
}

function isOlder(version: string, oldest: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < oldest[0] || (major === oldest[0] && minor < oldest[1]);
}

function gigabytes(bytes: number): string {
  return (bytes / gigabyte).toFixed(1);
}
