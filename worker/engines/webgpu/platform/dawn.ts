// WebGPU in Node: Dawn, through the optional package `webgpu`.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { LockstepError, messageOf, systemCodeOf } from '../../../../shared/errors.js';
import type { GpuPlatform } from './gpu-platform.js';

/** Environment variable with the name, or a part of the name, of the adapter to use. */
export const adapterVariable = 'LOCKSTEP_WEBGPU_ADAPTER';

export const webGpuPackage = 'webgpu';

/** Command that installs the package, which is 132 MB large and therefore not part of an installation. */
export const installCommand = `npm install --no-save ${webGpuPackage}@^0.6.2`;

/** Loads the package. Throws `no-engine`, with the command that installs it, if that fails. */
export async function loadDawn(): Promise<typeof import('webgpu')> {
  try {
    return await import('webgpu');
  } catch (cause) {
    const problem = isNotInstalled(cause)
      ? 'which is not installed'
      : `which cannot be loaded (${messageOf(cause).split('\n', 1)[0]})`;
    throw new LockstepError(
      'no-engine',
      `the webgpu engine needs the package webgpu, ${problem}: install it with ${installCommand} (132 MB)`,
      { cause },
    );
  }
}

/** Whether an error at loading the package says that it is not installed. */
export function isNotInstalled(error: unknown): boolean {
  return systemCodeOf(error) === 'ERR_MODULE_NOT_FOUND';
}

/**
 * WebGPU in this process. It holds the object that create() returns, which must stay reachable as long as one of its devices:
 * otherwise, the process crashes.
 */
export class DawnPlatform implements GpuPlatform {
  readonly runtime = 'Dawn';
  readonly hidesFields = false;
  readonly #gpu: GPU;

  private constructor(gpu: GPU) {
    this.#gpu = gpu;
  }

  /**
   * Throws `no-engine` if the package cannot be loaded.
   * @param adapter name, or a part of the name, of the adapter to use; by default, the one that Dawn considers the fastest
   */
  static async open(adapter: string | undefined): Promise<DawnPlatform> {
    const { create } = await loadDawn();
    return new DawnPlatform(create(adapter === undefined || adapter === '' ? [] : [`adapter=${adapter}`]));
  }

  /** Returns null if there is no adapter. Throws `no-engine` if there are some, but none with the chosen name. */
  async requestAdapter(): Promise<GPUAdapter | null> {
    try {
      return await this.#gpu.requestAdapter({ powerPreference: 'high-performance' });
    } catch (cause) {
      throw new LockstepError('no-engine', `WebGPU does not find the adapter: ${messageOf(cause)}`, { cause });
    }
  }
}

/**
 * Returns the variables that a process needs to find the Vulkan loader. A driver that VK_ICD_FILENAMES names may have one beside
 * it, as SwiftShader has in Chromium's folder, where the system has none.
 */
export function loaderEnvironment(environment: NodeJS.ProcessEnv): Record<string, string> {
  const [driver] = (environment['VK_DRIVER_FILES'] ?? environment['VK_ICD_FILENAMES'] ?? '').split(path.delimiter);
  const folder = path.dirname(driver);
  if (process.platform !== 'linux' || driver === '' || !existsSync(path.join(folder, 'libvulkan.so.1'))) return {};
  const folders = (environment['LD_LIBRARY_PATH'] ?? '').split(':').filter((each) => each !== '');
  return folders.includes(folder) ? {} : { LD_LIBRARY_PATH: [folder, ...folders].join(':') };
}
