import { describe, expect, it } from 'vitest';
import { messageOf } from '../../../shared/errors.js';
import { installedPackages } from '../../../worker/engines/tensorflow/load.js';
import { memorySettings } from '../../../worker/engines/tensorflow/memory-settings.js';
import {
  assertSupported,
  canComputeOnGpus,
  openEngine,
  openEngines,
  startEnvironment,
} from '../../../worker/engines/registry.js';
import { openAvailableWasmEngines } from '../../support/wasm-engines.js';
import { openTensorFlowOrReason } from '../../support/tensorflow.js';

const opened = await openTensorFlowOrReason();

describe('the engine registry', () => {
  it('opens an engine by its name', async () => {
    const engine = await openEngine('wasm', { threads: 1 });
    expect(engine.identity.engine).toBe('wasm');
    await engine.close();
  });

  it('opens every engine that loads for auto, in order of preference', async () => {
    const engines = await openEngines('auto', { threads: 1 });
    const wasmEngines = (await openAvailableWasmEngines()).map(({ identity }) => identity.engine);
    const loadable = typeof opened === 'string' ? wasmEngines : ['tensorflow', ...wasmEngines];
    expect(engines.map(({ identity }) => identity.engine)).toEqual(loadable);
    await Promise.all(engines.map((engine) => engine.close()));
    const first = await openEngine('auto', { threads: 1 });
    expect(first.identity.engine).toBe(loadable[0]);
    await first.close();
  });

  it('opens only engines that support the settings for auto, and explains why there are none', async () => {
    const eager = await openEngines('auto', { threads: 1, tensorFlowMode: 'eager' }).then(
      (engines) => engines.map(({ identity }) => identity.engine),
      messageOf,
    );
    const problem = expect.stringContaining('`tensorFlowMode` eager needs the tensorflow engine');
    expect(eager).toEqual(typeof opened === 'string' ? problem : ['tensorflow']);
    const contradictory = openEngines('auto', { threads: 1, tensorFlowMode: 'eager', precision: 'bfloat16' });
    await expect(contradictory).rejects.toMatchObject({ code: 'bad-option' });
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
