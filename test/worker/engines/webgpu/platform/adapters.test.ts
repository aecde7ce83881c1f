// Which adapters --gpus chooses, and how a process finds the Vulkan loader.
import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { loaderEnvironment } from '../../../../../worker/engines/webgpu/platform/dawn.js';
import { chooseAdapters, type AdapterFacts } from '../../../../../worker/engines/webgpu/platform/list-adapters.js';
import { folderPerFile } from '../../../../support/folder-per-file.js';

const inFolder = folderPerFile();

function adapter(name: string): AdapterFacts {
  return { name, vendor: '', architecture: '', description: '', isSoftware: false, features: [], limits: {} };
}
const list = { adapters: [adapter('Intel UHD 770'), adapter('Radeon RX 7600'), adapter('Radeon RX 7600')] };

describe('--gpus with WebGPU', () => {
  it('chooses adapters by their position, and by default all that can be told apart', () => {
    expect(chooseAdapters('1,0', list)).toEqual([
      { index: 1, name: 'Radeon RX 7600' },
      { index: 0, name: 'Intel UHD 770' },
    ]);
    expect(chooseAdapters('all', list).map(({ index }) => index)).toEqual([0, 1]);
  });

  it.each([
    ['3', 'WebGPU finds 0 (Intel UHD 770), 1 (Radeon RX 7600), 2 (Radeon RX 7600)'],
    ['0,0', 'a comma-separated list of distinct numbers'],
    ['Intel', 'it must be all, or'],
    ['2', 'GPU 2 has the same name as GPU 1 (Radeon RX 7600), and WebGPU cannot tell them apart'],
  ])('refuses %s', (gpus, message) => {
    expect(() => chooseAdapters(gpus, list)).toThrow(message);
  });

  it('says why there is no adapter', () => {
    expect(() => chooseAdapters('all', { adapters: [] })).toThrow('WebGPU finds no GPU on this machine');
    expect(() => chooseAdapters('all', { problem: 'the package is not installed' })).toThrow(
      'the package is not installed',
    );
  });
});

describe.runIf(process.platform === 'linux')('the Vulkan loader', () => {
  it('is found beside the driver that the environment names', async () => {
    await writeFile(inFolder('libvulkan.so.1'), '');
    const VK_ICD_FILENAMES = inFolder('driver.json');
    const folder = inFolder();
    expect(loaderEnvironment({ VK_ICD_FILENAMES })).toEqual({ LD_LIBRARY_PATH: folder });
    expect(loaderEnvironment({ VK_ICD_FILENAMES, LD_LIBRARY_PATH: '/opt/lib' })).toEqual({
      LD_LIBRARY_PATH: `${folder}:/opt/lib`,
    });
  });

  it('is left to the system otherwise', () => {
    expect(loaderEnvironment({})).toEqual({});
    expect(loaderEnvironment({ VK_ICD_FILENAMES: '/nowhere/driver.json' })).toEqual({});
    const VK_ICD_FILENAMES = inFolder('driver.json');
    expect(loaderEnvironment({ VK_ICD_FILENAMES, LD_LIBRARY_PATH: inFolder() })).toEqual({});
  });
});
