import { describe, expect, it } from 'vitest';
import { installedPackages } from '../../../worker/engines/tensorflow/load.js';
import { memorySettings } from '../../../worker/engines/tensorflow/memory-settings.js';
import {
  assertSupported,
  canComputeOnGpus,
  engineNames,
  openEngine,
  startEnvironment,
} from '../../../worker/engines/registry.js';
import { openTensorFlowOrReason } from '../../support/tensorflow.js';

const opened = await openTensorFlowOrReason();

describe('the engine registry', () => {
  it('lists auto and every engine', () => {
    expect(engineNames).toEqual(['auto', 'tensorflow', 'wasm-fma', 'wasm']);
  });

  it('opens an engine by its name', async () => {
    const { engine, choice } = await openEngine('wasm', { threads: 1 });
    expect([engine.identity.engine, choice]).toEqual(['wasm', undefined]);
    await engine.close();
  });

  it('opens tensorflow for auto if it can be loaded, and otherwise wasm with the reason', async () => {
    const { engine, choice } = await openEngine('auto', { threads: 1 });
    const expected =
      typeof opened === 'string'
        ? ['wasm', 'wasm, as tensorflow cannot be loaded (lockstep doctor explains why)']
        : ['tensorflow', 'tensorflow, which is installed'];
    expect([engine.identity.engine, choice]).toEqual(expected);
    await engine.close();
  });

  it('rejects settings that an engine does not support before opening it', async () => {
    await expect(assertSupported('wasm', { xla: true, precision: 'float16' })).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining('`precision` float16 and `xla` need the tensorflow engine'),
    });
    await expect(assertSupported('wasm-fma', { xla: true })).rejects.toThrow('wasm-fma computes in float32');
    await expect(assertSupported('auto', { xla: true })).resolves.toBeUndefined();
  });

  it('returns the environment variables of an engine and whether it can use GPUs', async () => {
    expect(await startEnvironment('wasm')).toEqual({});
    expect(await canComputeOnGpus('wasm')).toBe(false);
    const isInstalled = installedPackages().length > 0;
    expect(await startEnvironment('auto')).toEqual(isInstalled ? memorySettings() : {});
  });
});
