// What happens when a device is lost, on devices that a test loses.
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { EngineModel } from '../../../../../worker/engine.js';
import { DeviceEngine } from '../../../../../worker/engines/webgpu/platform/device-engine.js';
import { identityOf, type GpuPlatform } from '../../../../../worker/engines/webgpu/platform/gpu-platform.js';
import { FakeClock } from '../../../../support/fake-clock.js';
import { fakeEngine } from '../../../../support/fake-engine.js';
import { randomBatch } from '../../wasm/samples.js';
import { resnetLayout } from '../../../../support/resnet-layout.js';

const layout = resnetLayout({ depth: 8, initialFilters: 4 });
const info = { vendor: 'acme', architecture: 'turbo', device: '', description: '', isFallbackAdapter: false };

/** A platform that the test controls. */
function platformOf(adapters: { vendor: string }[] = []) {
  const clock = new FakeClock();
  const opened: { lose: (message: string) => void }[] = [];
  const limits = { maxBufferSize: 1, maxStorageBufferBindingSize: 1 };
  const adapter = (changed: object) => ({
    info: { ...info, ...changed },
    limits,
    features: new Set<string>(),
    requestDevice() {
      let lose: (loss: { reason: string; message: string }) => void = () => undefined;
      const lost = new Promise((resolve) => (lose = resolve));
      opened.push({ lose: (message) => lose({ reason: 'unknown', message }) });
      return Promise.resolve({ lost });
    },
  });
  const platform = {
    runtime: 'a test',
    hidesFields: true,
    requestAdapter: () => Promise.resolve(adapter(adapters.shift() ?? {})),
  } as unknown as GpuPlatform;
  const first = adapter({}) as unknown as GPUAdapter;
  /** Slices of this device wait forever. */
  let hanging = -1;
  const engine = new DeviceEngine(
    identityOf(first, platform),
    platform,
    (_device, identity) => {
      const own = opened.length - 1;
      const beforeSlice = () => (own === hanging ? new Promise<void>(() => undefined) : undefined);
      return Promise.resolve({ ...fakeEngine({ beforeSlice }), identity });
    },
    clock,
  );
  return {
    engine,
    clock,
    opened,
    hang(device: number) {
      hanging = device;
    },
  };
}

async function modelOf(engine: DeviceEngine): Promise<EngineModel> {
  const model = await engine.createModel(layout, 'imagenet');
  model.setWeights(new Float32Array(layout.weightsSize), new Float32Array(layout.statisticsSize));
  return model;
}

it('a fingerprint lists what the platform exposes of the adapter', () => {
  expect(platformOf().engine.identity).toEqual({
    engine: 'webgpu',
    fingerprint: 'webgpu/1; vendor=acme; architecture=turbo',
    device: 'turbo (a test)',
    needsProbe: true,
  });
});

it.each([
  [{ description: 'llvmpipe (LLVM 19.1.7, 256 bits)' }],
  [{ vendor: 'google', architecture: 'swiftshader' }],
  [{ isFallbackAdapter: true }],
])('an adapter that is a CPU is used only by runs that name the engine: %o', (changed) => {
  const adapter = { info: { ...info, ...changed } } as unknown as GPUAdapter;
  const platform: GpuPlatform = { runtime: 'a test', hidesFields: false, requestAdapter: () => Promise.resolve(null) };
  expect(identityOf(adapter, platform).onlyIfNamed).toBe(true);
});

it('a device that is lost during a slice makes it fail with device-lost, although its results never arrive', async () => {
  const test = platformOf();
  const model = await modelOf(test.engine);
  test.hang(0);
  const slice = model.computeSlice(randomBatch(2));
  test.opened[0].lose('the driver was restarted\nand more');
  await expect(slice).rejects.toMatchObject({
    code: 'device-lost',
    message: 'the GPU was lost: the driver was restarted',
  });
});

it('the next device is opened after a pause that grows with each loss, and the fifth loss in a row is the last', async () => {
  const test = platformOf();
  await modelOf(test.engine);
  for (const [loss, pauseMs] of [1_000, 2_000, 4_000, 8_000].entries()) {
    test.opened[loss].lose('gone');
    await setImmediate();
    const reopened = modelOf(test.engine);
    await setImmediate();
    test.clock.advance(pauseMs - 1);
    await setImmediate();
    expect(test.opened).toHaveLength(loss + 1);
    test.clock.advance(1);
    await (await reopened).computeSlice(randomBatch(2));
    expect(test.opened).toHaveLength(loss + 2);
  }
  test.opened[4].lose('gone again');
  await setImmediate();
  await expect(modelOf(test.engine)).rejects.toMatchObject({
    code: 'engine-failed',
    message: expect.stringContaining('the GPU was lost 5 times in a row, the last time because gone again'),
  });
});

it('losses are forgotten after 100 slices', async () => {
  const test = platformOf();
  let model = await modelOf(test.engine);
  for (let loss = 0; loss < 6; loss++) {
    for (let slice = 0; slice < 100; slice++) await model.computeSlice(randomBatch(1));
    test.opened[loss].lose('gone');
    await setImmediate();
    const reopened = modelOf(test.engine);
    await setImmediate();
    test.clock.advance(1_000);
    model = await reopened;
  }
  expect(test.opened).toHaveLength(7);
});

it('an adapter that has changed after a loss is not used', async () => {
  const test = platformOf([{ vendor: 'acme' }, { vendor: 'other' }]);
  await modelOf(test.engine);
  test.opened[0].lose('the GPU was unplugged');
  await setImmediate();
  const reopened = modelOf(test.engine);
  await setImmediate();
  test.clock.advance(1_000);
  await expect(reopened).rejects.toMatchObject({
    code: 'engine-failed',
    message: expect.stringContaining('the GPU has changed from webgpu/1; vendor=acme;'),
  });
});
