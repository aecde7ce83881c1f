// Lets processes of a test find a driver for WebGPU: by default SwiftShader, the software driver of Chromium.
import { loaderEnvironment } from '../../worker/engines/webgpu/platform/dawn.js';
import { listAdapters } from '../../worker/engines/webgpu/platform/list-adapters.js';
import { sayWhySkipped } from './why-skipped.js';

/** Returns variables for processes that use the webgpu engine; the reason to skip the tests if they would find no adapter. */
export async function webGpuEnvironmentOrReason(what: string): Promise<Record<string, string> | string> {
  const driver = {
    VK_ICD_FILENAMES: process.env['VK_ICD_FILENAMES'] ?? '/usr/lib/chromium/vk_swiftshader_icd.json',
    XDG_RUNTIME_DIR: process.env['XDG_RUNTIME_DIR'] ?? '/tmp',
  };
  const environment = { ...driver, ...loaderEnvironment({ ...process.env, ...driver }) };
  const list = await listAdapters({ ...process.env, ...environment });
  if ('adapters' in list && list.adapters.length > 0) return environment;
  const reason = 'problem' in list ? list.problem : 'WebGPU finds no adapter';
  sayWhySkipped(what, reason);
  return reason;
}
