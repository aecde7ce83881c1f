// Checks NVIDIA GPUs: the devices on the PCI bus, the driver, and whether TensorFlow uses them.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { formatCount } from '../../output/format.js';
import type { SetupHost } from '../../../worker/engines/tensorflow/setup/setup-host.js';
import type { Check } from './check.js';
import { readOptionalFile } from './optional-file.js';

export interface GpuFacts {
  /** NVIDIA GPUs on the PCI bus, with or without a driver. */
  devicesOnBus: number;
  /** Version of the loaded kernel driver, for example `535.104.05`. */
  driverVersion: string | undefined;
  /** The result of running nvidia-smi. */
  smi: { isInstalled: boolean; succeeded: boolean; output: string };
  /** Value of CUDA_VISIBLE_DEVICES. */
  visibleDevices: string | undefined;
}

/** Oldest driver version for CUDA 12. */
const minDriver = 525;
const nvidiaVendor = '0x10de';
/** Prefix of the PCI classes of display controllers, including 3D controllers without a display. */
const displayClass = '0x03';
const query = '--query-gpu=index,name,driver_version,memory.total';

export async function readGpus(
  host: Pick<SetupHost, 'run'>,
  environment: NodeJS.ProcessEnv,
  root = '/',
): Promise<GpuFacts> {
  const { exitStatus, output } = await host.run({ program: 'nvidia-smi', args: [query, '--format=csv,noheader'] });
  const driver = readOptionalFile(join(root, 'proc/driver/nvidia/version'));
  return {
    devicesOnBus: devicesOnBus(join(root, 'sys/bus/pci/devices')),
    driverVersion: /Kernel Module\D*?(?:for \S+\s+)?(\d+\.[\d.]+)/.exec(driver)?.[1],
    smi: { isInstalled: !/ENOENT/.test(output), succeeded: exitStatus === 0, output: output.trim() },
    visibleDevices: environment['CUDA_VISIBLE_DEVICES'],
  };
}

function devicesOnBus(folder: string): number {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return 0; // no PCI bus
  }
  return names.filter(
    (name) =>
      readOptionalFile(join(folder, name, 'vendor')).trim() === nvidiaVendor &&
      readOptionalFile(join(folder, name, 'class')).startsWith(displayClass),
  ).length;
}

/** Facts about an installation of TensorFlow that loads. */
export interface TensorFlowOnGpus {
  isGpuPackage: boolean;
  usesGpu: boolean;
  /** stderr output of TensorFlow while it loaded. */
  log: string;
}

export function checkGpus(facts: GpuFacts, tensorFlow: TensorFlowOnGpus | null): Check[] {
  const driver = checkDriver(facts);
  const isUsable = driver.mark === 'ok' && facts.smi.succeeded && facts.smi.output !== '';
  return isUsable ? [driver, checkUse(facts, tensorFlow)] : [driver];
}

function checkDriver({ devicesOnBus: devices, driverVersion, smi }: GpuFacts): Check {
  const about = 'GPUs';
  if (smi.succeeded) {
    const gpus = smi.output.split('\n').filter((line) => line !== '');
    const listed = gpus
      .map((line) => line.split(', '))
      .map(([index, name, , memory]) => `${index}: ${name}, ${memory}`);
    const version = gpus[0]?.split(', ')[2] ?? driverVersion ?? '';
    if (gpus.length === 0) return { about, mark: 'ok', says: 'none listed by nvidia-smi' };
    const says = `${listed.join('\n')}\ndriver ${version}`;
    if (Number.parseInt(version) >= minDriver) return { about, mark: 'ok', says };
    const remedy = `install driver ${minDriver} or later, which CUDA 12 needs`;
    return { about, mark: 'warning', says: `${says}: too old for CUDA 12`, remedy };
  }
  if (smi.isInstalled) {
    const firstLine = smi.output.split('\n', 1)[0];
    if (/version mismatch/i.test(smi.output)) {
      const remedy = 'restart the machine, as the driver was updated while the old one was loaded';
      return { about, mark: 'warning', says: firstLine, remedy };
    }
    const remedy = `reinstall the NVIDIA driver (${minDriver} or later) for the running kernel`;
    return devices === 0 && driverVersion === undefined
      ? { about, mark: 'ok', says: `none (nvidia-smi: ${firstLine})` }
      : { about, mark: 'warning', says: `nvidia-smi failed: ${firstLine}`, remedy };
  }
  if (driverVersion !== undefined) {
    return {
      about,
      mark: 'warning',
      says: `driver ${driverVersion} is loaded, but nvidia-smi is not in PATH, so the GPUs cannot be listed`,
      remedy:
        'start the container with --gpus all (NVIDIA Container Toolkit); outside a container install nvidia-utils',
    };
  }
  if (devices > 0) {
    const says = `${formatCount(devices, 'NVIDIA GPU')} without a driver`;
    return { about, mark: 'warning', says, remedy: `install the NVIDIA driver, ${minDriver} or later` };
  }
  return { about, mark: 'ok', says: 'no NVIDIA GPU' };
}

function checkUse({ visibleDevices }: GpuFacts, tensorFlow: TensorFlowOnGpus | null): Check {
  const about = 'TensorFlow on GPUs';
  const warning = (says: string, remedy: string): Check => ({ about, mark: 'warning', says, remedy });
  if (tensorFlow === null) return warning('does not load', 'lockstep setup-tensorflow --gpu');
  if (tensorFlow.usesGpu) return { about, mark: 'ok', says: 'works' };
  if (!tensorFlow.isGpuPackage) {
    return warning('the installed TensorFlow is for CPUs', 'lockstep setup-tensorflow --gpu');
  }
  if (visibleDevices === '' || visibleDevices === '-1') {
    return warning(`CUDA_VISIBLE_DEVICES is ${JSON.stringify(visibleDevices)}, which hides all GPUs`, 'unset it');
  }
  return diagnoseGpuLog(tensorFlow.log, warning);
}

/** Finds out why TensorFlow does not use the GPUs: it falls back to the CPU, and only its log states the reason. */
function diagnoseGpuLog(log: string, warning: (says: string, remedy: string) => Check): Check {
  const missing = [...log.matchAll(/(lib[\w+.-]*\.so[\w.]*): cannot open shared object file/g)].map(([, name]) => name);
  if (missing.length > 0) {
    return warning(`does not find ${[...new Set(missing)].join(', ')}`, 'lockstep setup-tensorflow --gpu --force');
  }
  if (/Cannot dlopen some GPU libraries/.test(log)) {
    return warning('does not find the CUDA libraries', 'lockstep setup-tensorflow --gpu --force');
  }
  if (/driver version is insufficient|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|does not match DSO version/.test(log)) {
    return warning('the driver is older than the CUDA libraries', `install driver ${minDriver} or later`);
  }
  const error = /CUDA_ERROR_\w+/.exec(log)?.[0] ?? log.split('\n').find((line) => /cuda|gpu/i.test(line));
  return warning(
    `uses the CPU${error === undefined ? '' : ` (${error.trim()})`}`,
    'run TF_CPP_MIN_LOG_LEVEL=0 lockstep bench --engine tensorflow to see its log',
  );
}
