// Checks WebGPU: the package, the adapters with their limits and features, and whether the engine computes correctly.
import { installCommand, webGpuPackage } from '../../../worker/engines/webgpu/platform/dawn.js';
import type { AdapterFacts, AdapterList } from '../../../worker/engines/webgpu/platform/list-adapters.js';
import { formatGibibytes, type Check } from './check.js';
import { describeCrash, type Probe } from './engines.js';

const about = 'webgpu';
/** Maximum distance of a gradient from that of the wasm engine, relative to its norm. Rounding causes 1e-6. */
const maxDistance = 1e-3;

/** Whether it makes sense to compute with the engine: not on a CPU, which takes long, unless the user asks for it. */
export function isWorthProbing(list: AdapterList, isRequired: boolean): boolean {
  return 'adapters' in list && list.adapters.some(({ isSoftware }) => isRequired || !isSoftware);
}

/**
 * @param probe what the engine computed; undefined if it was not tried
 * @param isRequired whether --engine webgpu was given
 */
export function checkWebGpu(list: AdapterList, probe: Probe | undefined, isRequired: boolean): Check[] {
  const markIfMissing = isRequired ? 'problem' : 'ok';
  if ('problem' in list) {
    if (list.package === 'missing') {
      return [
        { about, mark: markIfMissing, says: `the package ${webGpuPackage} is not installed`, remedy: installCommand },
      ];
    }
    const remedy = list.package === 'broken' ? installCommand : driverRemedy();
    return [{ about, mark: isRequired ? 'problem' : 'warning', says: list.problem, remedy }];
  }
  if (list.adapters.length === 0) {
    return [{ about, mark: markIfMissing, says: 'finds no GPU and no software driver', remedy: driverRemedy() }];
  }
  const adapters: Check = { about: 'WebGPU adapters', mark: 'ok', says: list.adapters.map(describeAdapter).join('\n') };
  return [adapters, checkEngine(probe, isRequired)];
}

function driverRemedy(): string {
  if (process.platform !== 'linux') return "install the GPU's driver";
  return 'install a Vulkan driver and libvulkan1 (Debian: mesa-vulkan-drivers for AMD and Intel; NVIDIA has its own)';
}

function describeAdapter({ name, description, isSoftware, limits, features }: AdapterFacts, index: number): string {
  const bytes = (limit: string) => formatGibibytes(limits[limit] ?? 0);
  const kind = isSoftware ? '; a CPU: only runs with --engine webgpu use it' : '';
  return [
    `${index}: ${name} (${description})${kind}`,
    `   buffers of up to ${bytes('maxBufferSize')}, ${bytes('maxStorageBufferBindingSize')} of it bound at a time; ` +
      `${limits['maxComputeInvocationsPerWorkgroup']} invocations and ${limits['maxComputeWorkgroupStorageSize']} bytes per workgroup`,
    `   features: ${features.join(', ')}`,
  ].join('\n');
}

function checkEngine(probe: Probe | undefined, isRequired: boolean): Check {
  const remedy = 'use another engine, and report the lines above as a bug';
  if (probe === undefined) return { about, mark: 'ok', says: 'not tried on a CPU; --engine webgpu tries it' };
  if (probe.answer === null)
    return { about, mark: isRequired ? 'problem' : 'warning', says: describeCrash(probe.exit, probe.log) };
  if (!probe.answer.loads) return { about, mark: isRequired ? 'problem' : 'warning', says: probe.answer.message };
  const { fingerprint, repeats, distanceFromWasm: distance } = probe.answer;
  if (distance === null || !(distance < maxDistance)) {
    return {
      about,
      mark: 'problem',
      says: `${fingerprint}\nits gradient is wrong (distance ${String(distance)})`,
      remedy,
    };
  }
  if (!repeats) {
    const says = `${fingerprint}\nrepeating a step gives different bits`;
    return { about, mark: 'warning', says, remedy: 'use --engine wasm for runs whose results must be reproducible' };
  }
  return {
    about,
    mark: 'ok',
    says: `${fingerprint}\ncomputes the gradient of wasm up to rounding, and the same bits again`,
  };
}
