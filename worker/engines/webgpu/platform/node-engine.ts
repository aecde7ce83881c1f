// The webgpu engine in Node.
import { systemClock } from '../../../../shared/clock.js';
import { LockstepError } from '../../../../shared/errors.js';
import type { Engine } from '../../../engine.js';
import { openWebGpuEngine } from '../create-engine.js';
import { adapterVariable, DawnPlatform } from './dawn.js';
import { DeviceEngine } from './device-engine.js';
import { identityOf } from './gpu-platform.js';

/**
 * Opens the engine on the adapter that LOCKSTEP_WEBGPU_ADAPTER names or, by default, the fastest. Throws `no-engine` if the
 * package `webgpu` is not installed or finds no adapter.
 */
export async function openWebGpuInNode(): Promise<Engine> {
  const platform = await DawnPlatform.open(process.env[adapterVariable]);
  const adapter = await platform.requestAdapter();
  if (adapter === null) {
    throw new LockstepError(
      'no-engine',
      'WebGPU finds no GPU on this machine: install its driver (on Linux a Vulkan driver, and libvulkan1), or use another engine; ' +
        'lockstep doctor --engine webgpu says more',
    );
  }
  return new DeviceEngine(identityOf(adapter, platform), platform, openWebGpuEngine, systemClock);
}
