// lockstep bench, run as a user would, with few images and for a moment.
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { runCli } from '../../support/cli.js';

const measurement = z.looseObject({
  imagesPerSecond: z.number().positive(),
  roundsImagesPerSecond: z.array(z.number().positive()).length(2),
  engine: z.literal('wasm'),
  network: z.literal('resnet8'),
  profile: z
    .array(z.object({ phase: z.string(), group: z.string(), ms: z.number().positive() }))
    .min(1)
    .optional(),
});

function bench(...args: string[]) {
  const small = ['--depth', '8', '--batch-size', '4', '--slices', '2', '--rounds', '2', '--seconds', '0.01'];
  return runCli(['bench', '--engine', 'wasm', ...small, ...args]);
}

async function measure(...args: string[]) {
  const { status, output } = await bench('--json', ...args);
  expect({ status, output }).toMatchObject({ status: 0 });
  return measurement.parse(JSON.parse(output));
}

describe('lockstep bench', () => {
  it('prints the speed, and where a step spends its time', async () => {
    const { status, output } = await bench();
    expect({ status, output }).toMatchObject({ status: 0 });
    expect(output).toMatch(/^\d+\.\d images\/s \(median of 2 rounds, /m);
    expect(output).toMatch(/^mean step \d+\.\d ms: .*compute \d+\.\d%/m);
    expect(output).not.toContain('ms per step');
  });

  it('measures the groups of layers with --profile', async () => {
    expect((await measure()).profile).toBeUndefined();
    const { profile = [] } = await measure('--profile');
    expect(profile.map(({ phase }) => phase)).toContain('filter gradient');
    const { output } = await bench('--profile');
    for (const { group } of profile) expect(output).toContain(group);
  });

  it('measures a cluster with --workers', async () => {
    expect(await measure('--workers', '2')).toMatchObject({ workers: 2 });
  });

  it('refuses --profile for several workers', async () => {
    expect(await bench('--profile', '--workers', '2')).toEqual({
      status: 2,
      output: expect.stringContaining('--profile measures one worker in this process: omit --workers and --gpus'),
    });
  });

  it('describes the default of each option as it is written', async () => {
    const { output } = await runCli(['bench', '--help']);
    expect(output.replaceAll(/\s+/g, ' ')).toContain('height, width and channels of the images (default: 32x32x3)');
    expect(output).not.toContain('[object');
  });
});
