// WebGPU devices for tests: those of the package `webgpu`, on a software driver of Vulkan unless the environment names
// another.
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { messageOf } from '../../shared/errors.js';
import { openWebGpuEngine, type WebGpuEngine } from '../../worker/engines/webgpu/create-engine.js';

const chromium = '/usr/lib/chromium';
/** RTLD_NODELETE of Linux. */
const keepLoaded = 0x1000;

interface Package {
  create: (flags: string[]) => GPU;
}

export const testIdentity = { engine: 'webgpu', fingerprint: 'webgpu', device: 'a device for tests' };

/** The package's object must stay reachable while its devices are in use. */
let gpu: GPU | undefined;

/** Loads Vulkan's loader of Chromium, if the system has none: a library of this name is not loaded twice. */
function loadVulkan(): void {
  process.env.VK_ICD_FILENAMES ??= `${chromium}/vk_swiftshader_icd.json`;
  process.env.XDG_RUNTIME_DIR ??= '/tmp';
  const loader = `${chromium}/libvulkan.so.1`;
  if (!existsSync(loader)) return;
  try {
    process.dlopen({ exports: {} }, loader, constants.dlopen.RTLD_NOW | keepLoaded);
  } catch {
    // It is not a module of Node, but it stays loaded.
  }
}

/** Opens a device, or returns why there is none. */
export async function openDeviceOrReason(): Promise<GPUDevice | string> {
  if (gpu === undefined) {
    loadVulkan();
    const name: string = 'webgpu';
    try {
      const { create } = (await import(name)) as Package;
      gpu = create([]);
    } catch (error) {
      return `the package webgpu cannot be loaded: ${messageOf(error)}`;
    }
  }
  const adapter = await gpu.requestAdapter();
  return adapter === null ? 'there is no driver for Vulkan' : adapter.requestDevice();
}

/** Opens the engine on a device, or returns why there is none. */
export async function openWebGpuOrReason(): Promise<WebGpuEngine | string> {
  const device = await openDeviceOrReason();
  if (typeof device === 'string') return device;
  return openWebGpuEngine(device, testIdentity);
}
