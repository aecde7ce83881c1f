// NVIDIA's GPUs: what is on the bus, what the driver says, and whether TensorFlow computes on them.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SetupHost } from '../../../worker/engines/tensorflow/setup/setup-host.js';
import type { Check } from './check.js';

export interface GpuFacts {
  /** Graphics devices of NVIDIA on the bus, with a driver or without. */
  devicesOnBus: number;
  /** Such as `535.104.05`, of the driver that the kernel has loaded. */
  driverVersion: string | undefined;
  /** What nvidia-smi answered. */
  smi: { isThere: boolean; succeeded: boolean; output: string };
  /** CUDA_VISIBLE_DEVICES, as it is set. */
  visible: string | undefined;
}

/** CUDA 12's libraries run from this driver on. */
const minDriver = 525;
const nvidiaVendor = '0x10de';
/** Display controllers, the 3D kind without a screen too: class 0x03…. */
const displayClass = '0x03';
const query = '--query-gpu=index,name,driver_version,memory.total';

export async function readGpus(
  host: Pick<SetupHost, 'run'>,
  environment: NodeJS.ProcessEnv,
  root = '/',
): Promise<GpuFacts> {
  const { exitStatus, output } = await host.run({ program: 'nvidia-smi', args: [query, '--format=csv,noheader'] });
  const driver = readOptional(join(root, 'proc/driver/nvidia/version'));
  return {
    devicesOnBus: devicesOnBus(join(root, 'sys/bus/pci/devices')),
    driverVersion: /Kernel Module\D*?(?:for \S+\s+)?(\d+\.[\d.]+)/.exec(driver)?.[1],
    smi: { isThere: !/ENOENT/.test(output), succeeded: exitStatus === 0, output: output.trim() },
    visible: environment['CUDA_VISIBLE_DEVICES'],
  };
}

function devicesOnBus(folder: string): number {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return 0; // no such bus, or not this system
  }
  return names.filter(
    (name) =>
      readOptional(join(folder, name, 'vendor')).trim() === nvidiaVendor &&
      readOptional(join(folder, name, 'class')).startsWith(displayClass),
  ).length;
}

function readOptional(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** How TensorFlow came off, if it loads: whether its package is the one for GPUs, and what it wrote while it loaded. */
export interface TensorFlowOnGpus {
  isGpuPackage: boolean;
  usesGpu: boolean;
  log: string;
}

export function checkGpus(facts: GpuFacts, tensorFlow: TensorFlowOnGpus | null): Check[] {
  const driver = checkDriver(facts);
  const isUsable = driver.mark === 'ok' && facts.smi.succeeded && facts.smi.output !== '';
  if (!isUsable) return [driver];
  return [driver, checkUse(facts, tensorFlow)];
}

function checkDriver({ devicesOnBus: devices, driverVersion, smi }: GpuFacts): Check {
  const about = 'GPUs';
  if (smi.succeeded) {
    const gpus = smi.output.split('\n').filter((line) => line !== '');
    const listed = gpus
      .map((line) => line.split(', '))
      .map(([index, name, , memory]) => `${index}: ${name}, ${memory}`);
    const version = gpus[0]?.split(', ')[2] ?? driverVersion ?? '';
    if (gpus.length === 0) return { about, mark: 'ok', says: 'none: nvidia-smi lists no GPU' };
    const says = `${listed.join('\n')}\ndriver ${version}`;
    if (Number.parseInt(version) >= minDriver) return { about, mark: 'ok', says };
    const remedy = `install driver ${minDriver} or newer: CUDA 12 needs it`;
    return { about, mark: 'warning', says: `${says}: too old for CUDA 12`, remedy };
  }
  if (smi.isThere) {
    const firstLine = smi.output.split('\n', 1)[0];
    if (/version mismatch/i.test(smi.output)) {
      const remedy = 'restart the machine: the driver was updated while the old one was loaded';
      return { about, mark: 'warning', says: firstLine, remedy };
    }
    const remedy = 'install NVIDIA’s driver again (525 or newer), for the kernel that runs now';
    return devices === 0 && driverVersion === undefined
      ? { about, mark: 'ok', says: `none (nvidia-smi: ${firstLine})` }
      : { about, mark: 'warning', says: `nvidia-smi failed: ${firstLine}`, remedy };
  }
  if (driverVersion !== undefined) {
    return {
      about,
      mark: 'warning',
      says: `driver ${driverVersion} is loaded, but nvidia-smi is not on the path: GPUs cannot be counted`,
      remedy: 'in a container, start it with --gpus all (NVIDIA Container Toolkit); else install nvidia-utils',
    };
  }
  if (devices > 0) {
    const says = `${devices} of NVIDIA on the bus, without a driver`;
    return { about, mark: 'warning', says, remedy: 'install NVIDIA’s driver, 525 or newer' };
  }
  return { about, mark: 'ok', says: 'none of NVIDIA here' };
}

function checkUse({ visible }: GpuFacts, tensorFlow: TensorFlowOnGpus | null): Check {
  const about = 'computing on them';
  const warning = (says: string, remedy: string): Check => ({ about, mark: 'warning', says, remedy });
  if (tensorFlow === null) return warning('TensorFlow does not load', 'lockstep setup-tensorflow --gpu');
  if (tensorFlow.usesGpu) return { about, mark: 'ok', says: 'TensorFlow does' };
  if (!tensorFlow.isGpuPackage) {
    return warning('the TensorFlow that is installed is the one for CPUs', 'lockstep setup-tensorflow --gpu');
  }
  if (visible === '' || visible === '-1') {
    return warning(`CUDA_VISIBLE_DEVICES is ${JSON.stringify(visible)}: it hides every GPU`, 'unset it');
  }
  return diagnoseGpuLog(tensorFlow.log, warning);
}

/** TensorFlow goes on without a GPU and only says why in its log. */
function diagnoseGpuLog(log: string, warning: (says: string, remedy: string) => Check): Check {
  const missing = [...log.matchAll(/(lib[\w+.-]*\.so[\w.]*): cannot open shared object file/g)].map(([, name]) => name);
  if (missing.length > 0) {
    return warning(
      `TensorFlow does not find ${[...new Set(missing)].join(', ')}`,
      'lockstep setup-tensorflow --gpu --force',
    );
  }
  if (/Cannot dlopen some GPU libraries/.test(log)) {
    return warning('TensorFlow does not find the libraries of CUDA', 'lockstep setup-tensorflow --gpu --force');
  }
  if (/driver version is insufficient|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|does not match DSO version/.test(log)) {
    return warning('the driver is older than the CUDA libraries', `install driver ${minDriver} or newer`);
  }
  const error = /CUDA_ERROR_\w+/.exec(log)?.[0] ?? log.split('\n').find((line) => /cuda|gpu/i.test(line));
  return warning(
    `TensorFlow computes on the CPU${error === undefined ? '' : ` (${error.trim()})`}`,
    'TF_CPP_MIN_LOG_LEVEL=0 lockstep bench --engine tensorflow shows what it says',
  );
}
