import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../../shared/config/config.js';
import { DeviceModels, type ModelSpec } from '../../../worker/device-models.js';
import type { Engine } from '../../../worker/engine.js';
import { EngineSpeeds } from '../../../worker/measurement/engine-speeds.js';
import { DiskSpeedCache } from '../../../worker/measurement/speed-cache.js';
import { fakeEngine } from '../../support/fake-engine.js';
import { folderPerFile } from '../../support/folder-per-file.js';
import { resnetLayout } from '../../support/resnet-layout.js';

const inFolder = folderPerFile();
const layout = resnetLayout(resolveConfig({ depth: 8, initialFilters: 4 }));
const spec: ModelSpec = { layout, preprocessing: 'imagenet', labelSmoothing: 0 };
const { signal } = new AbortController();

const fast = fakeEngine({ fingerprint: 'fast/1' });
/** Each slice takes at least 20 ms. */
const slow = fakeEngine({
  fingerprint: 'slow/1',
  beforeSlice: () => new Promise((resolve) => setTimeout(resolve, 20)),
});
const broken: Engine = {
  identity: { engine: 'broken', fingerprint: 'broken/1', device: 'none' },
  createModel: () => Promise.reject(new Error('too large')),
  close: () => Promise.resolve(),
};

/** Returns the speeds of engines with a cache folder, and what was reported. */
function speedsOf(engines: readonly Engine[], cache: string) {
  const reports: string[] = [];
  const devices = new DeviceModels(engines);
  const speeds = new EngineSpeeds(devices, new DiskSpeedCache(inFolder(cache)), {
    onMeasuring: (names) => reports.push(`measuring ${names.join(', ')}`),
    onFailure: (message) => reports.push(message),
  });
  return { reports, of: (images = 8, of = spec) => speeds.of(devices.offers, of, images, signal), devices };
}

describe('the speeds of engines', () => {
  it('are measured, and then remembered on disk', async () => {
    const first = speedsOf([fast, slow], 'remembered');
    const speeds = await first.of();
    expect(speeds.map(({ fingerprint }) => fingerprint)).toEqual(['fast/1', 'slow/1']);
    // 8 images in at least 20 ms are at most 400 images/s.
    expect(speeds[1].imagesPerSecond).toBeLessThanOrEqual(400);
    expect(speeds[0].imagesPerSecond).toBeGreaterThan(speeds[1].imagesPerSecond);
    expect(first.reports).toEqual(['measuring fake, fake']);
    const second = speedsOf([fast, slow], 'remembered');
    expect(await second.of()).toEqual(speeds);
    expect(second.reports).toEqual([]);
  });

  it('are measured again for another slice size, another network, or an engine that is not in the cache', async () => {
    const { reports, of } = speedsOf([fast], 'other');
    await of();
    await of(16);
    await of(8, { ...spec, layout: resnetLayout(resolveConfig({ depth: 14, initialFilters: 4 })) });
    await of();
    expect(reports).toHaveLength(3);
    const both = speedsOf([fast, slow], 'other');
    await both.of();
    expect(both.reports).toEqual(['measuring fake, fake']);
  });

  it('leave out an engine that cannot run the model, with the reason', async () => {
    const { reports, of } = speedsOf([broken, fast], 'broken');
    expect((await of()).map(({ fingerprint }) => fingerprint)).toEqual(['fast/1']);
    expect(reports).toEqual(['measuring broken, fake', 'broken cannot run this model: too large']);
  });

  it('are measured even if the cache is damaged or cannot be written', async () => {
    await writeFile(inFolder('a-file'), '');
    const unwritable = speedsOf([fast], 'a-file');
    expect(await unwritable.of()).toHaveLength(1);
    expect(unwritable.reports[1]).toMatch(/^the measured speeds cannot be cached: E[A-Z]+: /);
    const damaged = speedsOf([fast], 'damaged');
    await damaged.of();
    await writeFile(inFolder('damaged', 'engine-speeds.json'), '[["x", -1]]');
    expect(await damaged.of()).toHaveLength(1);
    expect(damaged.reports).toEqual(['measuring fake', 'measuring fake']);
  });
});

describe('the models of engines', () => {
  it('are created once per engine and network, and disposed of when another engine is chosen', async () => {
    const { devices } = speedsOf([fast, slow], 'models');
    const model = await devices.load('fast/1', spec);
    expect(await devices.load('fast/1', spec)).toBe(model);
    const slowModel = await devices.load('slow/1', spec);
    devices.keepOnly('slow/1');
    expect(await devices.load('slow/1', spec)).toBe(slowModel);
    expect(await devices.load('fast/1', spec)).not.toBe(model);
    expect(await devices.load('slow/1', { ...spec, labelSmoothing: 0.1 })).not.toBe(slowModel);
    await expect(devices.load('other/1', spec)).rejects.toThrow('no engine has the fingerprint other/1');
  });
});
