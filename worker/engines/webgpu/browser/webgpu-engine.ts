// The webgpu engine in a tab. Its kernels are loaded when a run uses it.
import { systemClock } from '../../../../shared/clock.js';
import { describeBrowser } from '../../../../shared/worker/describe-browser.js';
import type { Engine } from '../../../engine.js';
import { DeviceEngine, type OpenOnDevice } from '../platform/device-engine.js';
import { identityOf, type GpuPlatform } from '../platform/gpu-platform.js';

const browser = describeBrowser(navigator.userAgent);

const openOnDevice: OpenOnDevice = async (device, identity) => {
  const { openWebGpuEngine } = await import('../create-engine.js');
  return openWebGpuEngine(device, identity, { wakesReadback: browser.startsWith('Firefox') });
};

/** Returns the engine, or nothing if the browser has no WebGPU or no adapter. */
export async function webGpuEngines(): Promise<Engine[]> {
  // Pages that are not trusted, and older browsers, do not have it.
  const { gpu } = navigator as { gpu?: GPU };
  if (gpu === undefined) return [];
  const platform: GpuPlatform = {
    runtime: browser,
    hidesFields: true,
    requestAdapter: () => gpu.requestAdapter({ powerPreference: 'high-performance' }),
  };
  const adapter = await platform.requestAdapter();
  if (adapter === null) return [];
  return [new DeviceEngine(identityOf(adapter, platform), platform, openOnDevice, systemClock)];
}
