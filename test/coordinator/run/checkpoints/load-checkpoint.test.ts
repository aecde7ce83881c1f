import { createHash } from 'node:crypto';
import { appendFile, copyFile, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { saveCheckpoint, sumsText } from '../../../../coordinator/run/checkpoints/checkpoint.js';
import { loadCheckpoint } from '../../../../coordinator/run/checkpoints/load-checkpoint.js';
import { resolveConfig } from '../../../../shared/config/config.js';
import { weightsSha256 } from '../../../../shared/network/layout-hash.js';
import { lockstepVersion } from '../../../../shared/version.js';
import {
  dataset,
  config,
  layout,
  newDirectory,
  progress,
  setup,
  setupWith,
  shardHashes,
  stateAt,
} from '../../../support/small-checkpoint.js';
import { perPixelMean, standardize } from '../../../support/random-batch.js';
import { temporaryFolder } from '../../../support/temporary-folder.js';
import { resnetLayout } from '../../../support/resnet-layout.js';

const files = ['model.safetensors', 'optimizer.safetensors', 'state.json', 'SHA256SUMS'];

/** Saves checkpoints of steps 1, 2 and 3 in a new directory. */
async function threeCheckpoints() {
  const directory = await newDirectory();
  const paths: string[] = [];
  for (const step of [1, 2, 3]) paths.push(await saveCheckpoint(directory, setup, stateAt(step), progress));
  return { directory, paths };
}

describe('a checkpoint', () => {
  it('is loaded as it was saved', async () => {
    const saved = await saveCheckpoint(await newDirectory(), setup, stateAt(7), progress);
    const { weights, movingStatistics } = stateAt(7);
    expect(await loadCheckpoint(saved)).toEqual({
      ...stateAt(7),
      path: saved,
      config,
      layout,
      preprocessing: 'imagenet',
      dataset,
      shardHashes,
      progress,
      weightsSha256: weightsSha256(weights, movingStatistics),
      lockstepVersion,
    });
  });

  it('is loaded with its measured preprocessing, or refused without it', async () => {
    const directory = await newDirectory();
    const measured = setupWith(perPixelMean());
    const saved = await saveCheckpoint(directory, measured, stateAt(3), progress);
    expect((await loadCheckpoint(saved)).preprocessing).toEqual(perPixelMean());
    const without = await saveCheckpoint(directory, { ...measured, store: setup.store }, stateAt(4), progress);
    await expect(loadCheckpoint(without)).rejects.toThrow(
      /cannot load the checkpoint .*preprocessing\.safetensors: it is missing/,
    );
    const other = { ...measured, store: setupWith(standardize()).store };
    const withOther = await saveCheckpoint(directory, other, stateAt(5), progress);
    await expect(loadCheckpoint(withOther)).rejects.toThrow(/has no array subtract of shape \[32,32,3\]/);
  });

  it('is found by its directory, by `latest`, and, as the newest one, by its run directory', async () => {
    const { directory, paths } = await threeCheckpoints();
    const pathOf = async (location: string) => (await loadCheckpoint(location)).path;
    expect(await pathOf(paths[0])).toBe(paths[0]);
    expect(await pathOf(path.join(directory, 'latest'))).toBe(paths[2]);
    expect(await pathOf(directory)).toBe(paths[2]);
    expect(await pathOf(path.dirname(directory))).toBe(paths[2]);
  });

  it('is found by its run directory after a crash before `latest` was updated, or while the next one was written', async () => {
    const { directory, paths } = await threeCheckpoints();
    await rm(path.join(directory, 'latest'));
    await symlink('step-00000002', path.join(directory, 'latest'));
    await mkdir(path.join(directory, 'step-00000004.partial'));
    expect((await loadCheckpoint(path.dirname(directory))).path).toBe(paths[2]);
  });

  it('may be anywhere, under any name', async () => {
    const { paths } = await threeCheckpoints();
    const elsewhere = path.join(await temporaryFolder(), 'the good one');
    await rename(paths[1], elsewhere);
    expect(await loadCheckpoint(elsewhere)).toMatchObject({ path: elsewhere, step: 2 });
  });

  it.each(['nothing', 'nothing/below', 'file', 'empty', 'dangling'])(
    'that does not exist (%s) is reported as no-checkpoint',
    async (name) => {
      const folder = await temporaryFolder();
      await writeFile(path.join(folder, 'file'), '');
      await mkdir(path.join(folder, 'empty'));
      await symlink('step-00000009', path.join(folder, 'dangling'));
      await expect(loadCheckpoint(path.join(folder, name))).rejects.toMatchObject({
        code: 'no-checkpoint',
        message: expect.stringContaining(folder),
      });
    },
  );
});

describe('a damaged checkpoint is refused with the file, the damage and the last intact one before it:', () => {
  it.each(files)('one flipped bit anywhere in %s', async (name) => {
    const { paths } = await threeCheckpoints();
    const file = path.join(paths[2], name);
    const intact = await readFile(file);
    // Positions of the first byte, the last byte and some in between.
    const places = [0, 0.1, 0.35, 0.6, 0.85, 1].map((part) => Math.round(part * (intact.length - 1)));
    for (const [turn, place] of places.entries()) {
      const damaged = Buffer.from(intact);
      damaged[place] ^= 1 << turn;
      await writeFile(file, damaged);
      const refusal = await loadCheckpoint(paths[2]).catch((error: unknown) => error);
      expect(refusal).toMatchObject({ code: 'bad-checkpoint' });
      expect(String(refusal)).toContain(name);
      expect(String(refusal)).toContain(`the last intact checkpoint before it is ${paths[1]}`);
    }
    await writeFile(file, intact);
    expect(await loadCheckpoint(paths[2])).toMatchObject({ step: 3 });
  });

  it.each(files)('%s truncated, too long, empty, or missing', async (name) => {
    const { paths } = await threeCheckpoints();
    const file = path.join(paths[2], name);
    const aside = path.join(path.dirname(paths[2]), 'aside');
    await copyFile(file, aside);
    const damages: (() => Promise<void>)[] = [
      async () => truncate(file, (await readFile(file)).length - 1),
      () => appendFile(file, '\0'),
      () => truncate(file, 0),
      () => rm(file),
    ];
    for (const damage of damages) {
      await copyFile(aside, file);
      await damage();
      await expect(loadCheckpoint(path.dirname(paths[2]))).rejects.toMatchObject({
        code: 'bad-checkpoint',
        message: expect.stringContaining(name),
      });
    }
  });

  it('a file of the wrong length, with both lengths', async () => {
    const { paths } = await threeCheckpoints();
    const file = path.join(paths[2], 'model.safetensors');
    const { length } = await readFile(file);
    await truncate(file, 100);
    await expect(loadCheckpoint(paths[2])).rejects.toThrow(
      `cannot load the checkpoint ${file}: it has 100 bytes instead of ${length}; ` +
        `the last intact checkpoint before it is ${paths[1]}`,
    );
  });

  it('an incompletely written checkpoint', async () => {
    const { paths } = await threeCheckpoints();
    await rename(paths[2], `${paths[2]}.partial`);
    await expect(loadCheckpoint(`${paths[2]}.partial`)).rejects.toThrow(
      `cannot load the checkpoint ${paths[2]}.partial: it is incomplete: the process that wrote it was stopped; ` +
        `the last intact checkpoint before it is ${paths[1]}`,
    );
  });

  it('several damaged checkpoints, with an earlier intact one or none', async () => {
    const { paths } = await threeCheckpoints();
    await rm(path.join(paths[2], 'model.safetensors'));
    await truncate(path.join(paths[1], 'optimizer.safetensors'), 1);
    await expect(loadCheckpoint(paths[2])).rejects.toThrow(`the last intact checkpoint before it is ${paths[0]}`);
    await rm(path.join(paths[0], 'state.json'));
    await expect(loadCheckpoint(paths[2])).rejects.toThrow(
      'model.safetensors: it is missing; no earlier checkpoint is intact',
    );
  });
});

/** Changes the state.json of a checkpoint, and its hash. */
async function rewriteState(saved: string, change: (description: { config: object }) => object): Promise<void> {
  const file = path.join(saved, 'state.json');
  const json = JSON.stringify(change(JSON.parse(await readFile(file, 'utf8')) as { config: object }));
  await writeFile(file, json);
  const sums = path.join(saved, 'SHA256SUMS');
  const line = sumsText({ 'state.json': { bytes: 0, sha256: createHash('sha256').update(json).digest('hex') } });
  await writeFile(sums, (await readFile(sums, 'utf8')).replace(/^.*state\.json\n/m, line));
}

describe('a checkpoint is refused', () => {
  async function ofDepth14(): Promise<string> {
    const other = resnetLayout(resolveConfig({ ...config, depth: 14 }));
    const state = {
      step: 1,
      weights: new Float32Array(other.weightsSize),
      optimizerState: { velocity: new Float32Array(other.weightsSize) },
      movingStatistics: new Float32Array(other.statisticsSize),
    };
    return saveCheckpoint(await newDirectory(), { ...setup, layout: other }, state, progress);
  }

  it('if its arrays do not match its network', async () => {
    const saved = await saveCheckpoint(await newDirectory(), setup, stateAt(1), progress);
    const { graph } = resnetLayout(resolveConfig({ ...config, depth: 14 }));
    await rewriteState(saved, (description) => ({ ...description, network: graph }));
    await expect(loadCheckpoint(saved)).rejects.toMatchObject({
      code: 'bad-checkpoint',
      message: expect.stringContaining('state.json: its arrays are not those of its network'),
    });
  });

  it('if its network is invalid', async () => {
    const saved = await saveCheckpoint(await newDirectory(), setup, stateAt(1), progress);
    const [node, ...others] = layout.graph.nodes;
    const nodes = [{ ...node, op: 'conv3d' }, ...others];
    await rewriteState(saved, (description) => ({ ...description, network: { ...layout.graph, nodes } }));
    await expect(loadCheckpoint(saved)).rejects.toThrow(/node "stem\/conv": op is "conv3d": it must be one of conv2d/);
  });

  it('if one of its files is from another checkpoint', async () => {
    const saved = await saveCheckpoint(await newDirectory(), setup, stateAt(1), progress);
    await copyFile(path.join(await ofDepth14(), 'model.safetensors'), path.join(saved, 'model.safetensors'));
    await expect(loadCheckpoint(saved)).rejects.toThrow(/model\.safetensors: it has \d+ bytes instead of \d+/);
  });

  it('if it is from another version, with the name of the unknown configuration field', async () => {
    const saved = await saveCheckpoint(await newDirectory(), setup, stateAt(1), progress);
    await rewriteState(saved, (description) => ({ ...description, config: { ...description.config, warmUp: 5 } }));
    await expect(loadCheckpoint(saved)).rejects.toThrow(/written by another version of Lockstep.*unknown key "warmUp"/);
  });
});
